//! One task per pod: observe, step, carry out, absorb, again. It decides nothing itself.
//! Long work (volumes, sandboxes, starts, kills) goes on one at a time beside it, probes beside that; news is taken in
//! between, so that a deletion never waits for a pull.
use super::observe::observe;
use super::publish::Publisher;
use super::shared::{Cancel, Shared};
use crate::pod::effect::{Effect, Outcome};
use crate::pod::observed::{Observed, State};
use crate::pod::probe::ProbeKind;
use crate::pod::record::{PodRecord, Source, Why};
use crate::pod::step::step;
use crate::pod::view::PodView;
use crate::status;
use crate::volumes::sources::Held;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use parking_lot::RwLock;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// After the runtime could not be asked.
const OBSERVE_RETRY_SECONDS: i64 = 1;

/// After volumes could not be brought up to date.
const REFRESH_RETRY_SECONDS: i64 = 10;

/// News for a pod's task.
#[derive(Debug)]
pub enum Message {
    Pod(Arc<Pod>),
    /// The object, or the manifest, is no longer there.
    Gone(Option<Arc<Pod>>),
    /// The mirror of a static pod, as the API has it.
    Mirror(Option<Arc<Pod>>),
    /// Something happened in the runtime.
    Runtime,
    /// An object that a volume shows has changed.
    Refresh,
    Evict {
        reason: &'static str,
        message: String,
        grace_seconds: i64,
    },
}

/// What others may see of a pod's task.
#[derive(Default)]
pub struct View {
    pub pod: Arc<Pod>,
    pub observed: Observed,
    pub status: Arc<k8s_openapi::api::core::v1::PodStatus>,
    pub ended: bool,
}

pub struct Worker {
    pub shared: Arc<Shared>,
    pub record: PodRecord,
    pub view: Arc<RwLock<View>>,
    pub inbox: mpsc::UnboundedReceiver<Message>,
    observed: Observed,
    stale: bool,
    observe_at: Option<Timestamp>,
    work: Option<BoxFuture<'static, ()>>,
    cancel: watch::Sender<bool>,
    outcomes: (mpsc::UnboundedSender<Done>, mpsc::UnboundedReceiver<Done>),
    probes: JoinSet<Outcome>,
    publisher: Publisher,
    held: Held,
    refresh_at: Option<Timestamp>,
    refresh: bool,
}

/// What the work tells while it goes on.
pub(super) enum Done {
    Outcome(Outcome),
    Mounted { held: Held, refresh_at: Option<Timestamp> },
}

impl Worker {
    pub fn new(
        shared: Arc<Shared>,
        record: PodRecord,
        inbox: mpsc::UnboundedReceiver<Message>,
        view: Arc<RwLock<View>>,
        mirror: Option<Arc<Pod>>,
    ) -> Worker {
        let mut publisher = Publisher::new(shared.client.clone(), &record.pod, record.source);
        if mirror.is_some() {
            publisher.show(mirror);
        }
        Worker {
            shared,
            view,
            inbox,
            publisher,
            record,
            observed: Observed::default(),
            stale: true,
            observe_at: None,
            work: None,
            cancel: watch::Sender::new(false),
            outcomes: mpsc::unbounded_channel(),
            probes: JoinSet::new(),
            held: Held::new(),
            refresh_at: None,
            refresh: false,
        }
    }

    /// Until the pod is erased, or the kubelet lets go.
    pub async fn run(mut self) {
        if !self.recover().await {
            return;
        }
        while !self.record.erased {
            let now = self.shared.clock.now();
            self.look(now).await;
            let (record, effects) = step(&self.record, &self.observed, now);
            self.record = record;
            self.tell(now);
            self.carry_out(effects);
            self.refresh_volumes(now);
            if !self.wait().await {
                return;
            }
        }
    }

    /// First look: what was already there keeps its verdicts. A pod that is over stays over.
    async fn recover(&mut self) -> bool {
        let mut tries = 0u32;
        loop {
            match observe(&*self.shared.runtime, self.record.pod.uid()).await {
                Ok(observed) => {
                    self.observed = observed;
                    break;
                }
                Err(error) => {
                    tries += 1;
                    tracing::warn!(pod = self.record.pod.shown(), %error, tries, "the runtime cannot be asked");
                    self.shared.clock.sleep(std::time::Duration::from_secs(OBSERVE_RETRY_SECONDS as u64)).await;
                }
            }
            if self.inbox.is_closed() {
                return false;
            }
        }
        self.stale = false;
        let now = self.shared.clock.now();
        if self.record.pod.is_terminal() && self.record.source == Source::Api {
            self.record.stop(Why::Completed, "", "", self.record.pod.grace_seconds(), now);
        }
        self.assume(now);
        true
    }

    fn assume(&mut self, now: Timestamp) {
        let pod = self.record.pod.clone();
        let told = pod.pod_status();
        let statuses = told.container_statuses.iter().flatten().chain(told.init_container_statuses.iter().flatten());
        for status in statuses {
            let Some((_, container)) = pod.container(&status.name) else { continue };
            let Some(seen) = self.observed.latest(&status.name).filter(|seen| seen.state == State::Running) else { continue };
            if !status.container_id.as_deref().is_some_and(|id| id.ends_with(&seen.id)) {
                continue;
            }
            for (kind, was) in [(ProbeKind::Startup, status.started == Some(true)), (ProbeKind::Readiness, status.ready)] {
                if was {
                    self.record.probes.assume(&seen.id, &container, now, kind);
                }
            }
        }
    }

    async fn look(&mut self, now: Timestamp) {
        if !self.stale || self.observe_at.is_some_and(|at| at > now) {
            return;
        }
        match observe(&*self.shared.runtime, self.record.pod.uid()).await {
            Ok(observed) => (self.observed, self.stale, self.observe_at) = (observed, false, None),
            Err(error) => {
                tracing::warn!(pod = self.record.pod.shown(), %error, "the runtime cannot be asked");
                self.observe_at = Some(now + SignedDuration::from_secs(OBSERVE_RETRY_SECONDS));
            }
        }
    }

    /// Makes the status; tells it where it is asked for.
    fn tell(&mut self, now: Timestamp) {
        let status = status::status(&self.record, &self.observed, &self.shared.node_facts(), now);
        if *self.record.status != status {
            self.record.status = Arc::new(status);
        }
        {
            let mut view = self.view.write();
            view.pod = self.record.pod.clone();
            view.ended = self.record.ended;
            if !Arc::ptr_eq(&view.status, &self.record.status) {
                view.status = self.record.status.clone();
            }
            if view.observed != self.observed {
                view.observed = self.observed.clone();
            }
        }
        if self.record.source != Source::Lost && !self.record.gone && !self.record.object_deleted {
            self.publisher.want(self.record.status.clone());
            self.publisher.begin(now);
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut long = Vec::new();
        for effect in effects {
            match effect {
                Effect::Abort if self.record.killing.is_some() => {
                    self.work = None;
                    (self.record.busy, self.record.killing, self.stale) = (false, None, true);
                }
                Effect::Abort => drop(self.cancel.send_replace(true)),
                Effect::Event { warning, reason, message, container } => {
                    self.shared.event(&self.record.pod, warning, reason, &message, container.as_deref());
                }
                Effect::Probe { id, name, kind } => self.probe(id, name, kind),
                effect => long.push(effect),
            }
        }
        if long.is_empty() {
            return;
        }
        self.record.busy = true;
        self.cancel = watch::Sender::new(false);
        let act = super::act::Act {
            shared: self.shared.clone(),
            pod: self.record.pod.clone(),
            observed: self.observed.clone(),
            status: self.record.status.clone(),
            tell: self.outcomes.0.clone(),
            cancel: Cancel(self.cancel.subscribe()),
        };
        self.work = Some(Box::pin(act.all(long)));
    }

    fn probe(&mut self, id: String, name: String, kind: ProbeKind) {
        let (shared, pod) = (self.shared.clone(), self.record.pod.clone());
        let ip = self.ip();
        self.probes.spawn(async move {
            let _slot = shared.probes.acquire().await;
            let success = match pod.container(&name) {
                Some((_, container)) => shared.probe(&pod, &container, &id, &ip, kind).await,
                None => None,
            };
            Outcome::Probed { id, kind, success }
        });
    }

    fn ip(&self) -> String {
        if self.record.pod.is_host_network() {
            return self.shared.node_facts().ips.first().cloned().unwrap_or_default();
        }
        self.observed.sandboxes.first().and_then(|sandbox| sandbox.ips.first()).cloned().unwrap_or_default()
    }

    /// Brings volumes up to date while nothing else is done.
    fn refresh_volumes(&mut self, now: Timestamp) {
        let due = self.refresh || self.refresh_at.is_some_and(|at| at <= now);
        if !due || !self.record.prepared || self.record.busy || self.record.ended {
            return;
        }
        self.refresh = false;
        self.refresh_at = None;
        self.carry_out(vec![Effect::Prepare]);
    }

    /// Waits for anything to happen; `false`: the kubelet lets go.
    async fn wait(&mut self) -> bool {
        if self.stale && self.observe_at.is_none() && self.work.is_none() {
            return !self.inbox.is_closed() || !self.inbox.is_empty();
        }
        let times = [self.record.wake_at, self.observe_at, self.publisher.retry_at(), self.refresh_at];
        let wake = times.into_iter().flatten().min();
        let clock = self.shared.clock.clone();
        let sleep = async move {
            match wake {
                Some(at) => clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let work = async {
            match &mut self.work {
                Some(work) => work.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            message = self.inbox.recv() => {
                let Some(message) = message else { return false };
                self.take(message);
            }
            Some(done) = self.outcomes.1.recv() => self.done(done),
            () = work => {
                (self.work, self.record.busy, self.stale) = (None, false, true);
            }
            Some(probed) = self.probes.join_next() => {
                if let Ok(outcome) = probed {
                    let now = self.shared.clock.now();
                    self.record.absorb(outcome, now);
                }
            }
            written = self.publisher.written() => {
                let now = self.shared.clock.now();
                self.publisher.absorb(written, now);
            }
            () = sleep => {}
        }
        self.drain();
        true
    }

    /// Everything that has come in the meantime is one piece of news.
    fn drain(&mut self) {
        while let Ok(done) = self.outcomes.1.try_recv() {
            self.done(done);
        }
        while let Ok(message) = self.inbox.try_recv() {
            self.take(message);
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Mounted { held, refresh_at } => (self.held, self.refresh_at) = (held, refresh_at),
            Done::Outcome(outcome) => {
                let now = self.shared.clock.now();
                if self.record.prepared && matches!(outcome, Outcome::Prepared(Err(_))) {
                    self.refresh_at = Some(now + SignedDuration::from_secs(REFRESH_RETRY_SECONDS));
                }
                self.record.absorb(outcome, now);
                self.stale = true;
            }
        }
    }

    fn take(&mut self, message: Message) {
        let now = self.shared.clock.now();
        match message {
            Message::Pod(pod) => {
                self.refresh |= self.record.pod.metadata.labels != pod.metadata.labels
                    || self.record.pod.metadata.annotations != pod.metadata.annotations;
                if self.record.source == Source::Api {
                    self.publisher.show(Some(pod.clone()));
                }
                self.record.update(pod);
            }
            Message::Gone(pod) => {
                self.record.gone = true;
                if let Some(pod) = pod {
                    self.record.update(pod);
                }
                self.publisher.show(None);
            }
            Message::Mirror(pod) => self.publisher.show(pod),
            Message::Runtime => self.stale = true,
            Message::Refresh => self.refresh = true,
            Message::Evict { reason, message, grace_seconds } => {
                self.shared.event(&self.record.pod, true, reason, &message, None);
                self.record.stop(Why::Evicted, reason, &message, grace_seconds, now);
            }
        }
    }
}
