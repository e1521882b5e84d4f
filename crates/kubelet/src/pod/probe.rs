//! The state of a pod's probes: which is due, what the last results mean. It never probes.
use crate::pod::observed::{Observed, Seen, State};
use crate::pod::view::{PodView, Role};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProbeKind {
    Startup,
    Readiness,
    Liveness,
}

impl ProbeKind {
    pub const ALL: [ProbeKind; 3] = [ProbeKind::Startup, ProbeKind::Readiness, ProbeKind::Liveness];

    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            ProbeKind::Startup => container.startup_probe.as_ref(),
            ProbeKind::Readiness => container.readiness_probe.as_ref(),
            ProbeKind::Liveness => container.liveness_probe.as_ref(),
        }
    }

    /// As events begin with it.
    pub fn shown(self) -> &'static str {
        match self {
            ProbeKind::Startup => "Startup",
            ProbeKind::Readiness => "Readiness",
            ProbeKind::Liveness => "Liveness",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Tracked {
    pub due_at: Timestamp,
    pub running: bool,
    /// The verdict after thresholds; `None`: not known yet.
    pub verdict: Option<bool>,
    last: Option<bool>,
    run: i32,
    period_seconds: i64,
    success_threshold: i32,
    failure_threshold: i32,
    /// A failed liveness or startup probe waits for the next container.
    held: bool,
}

/// By container id and kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probes(BTreeMap<(String, ProbeKind), Tracked>);

impl Probes {
    pub fn verdict(&self, id: &str, kind: ProbeKind) -> Option<bool> {
        self.0.get(&(id.to_string(), kind)).and_then(|tracked| tracked.verdict)
    }

    /// Takes over what the API already said of a running container, so that a restarted kubelet takes no pod out of service.
    pub fn assume(&mut self, id: &str, container: &Container, now: Timestamp, kind: ProbeKind) {
        if let Some(probe) = kind.of(container) {
            let tracked = Tracked { verdict: Some(true), ..Tracked::new(probe, now) };
            self.0.insert((id.into(), kind), tracked);
        }
    }

    pub fn absorb(&mut self, id: &str, kind: ProbeKind, success: Option<bool>, now: Timestamp) {
        let Some(tracked) = self.0.get_mut(&(id.to_string(), kind)) else { return };
        tracked.running = false;
        tracked.due_at =
            tracked.due_at.max(now - SignedDuration::from_secs(tracked.period_seconds)) + SignedDuration::from_secs(tracked.period_seconds);
        let Some(success) = success else { return };
        tracked.run = if tracked.last == Some(success) { tracked.run.saturating_add(1) } else { 1 };
        tracked.last = Some(success);
        let needed = if success { tracked.success_threshold } else { tracked.failure_threshold };
        if tracked.run < needed {
            return;
        }
        tracked.verdict = Some(success);
        if !success && kind != ProbeKind::Readiness {
            tracked.held = true;
            tracked.run = 0;
        }
    }

    pub fn keep(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|(id, _), _| keep(id));
    }

    /// Probes to run now, with the container's name; and the next moment at which one is due.
    pub fn due(
        &mut self,
        pod: &Pod,
        observed: &Observed,
        stopping: bool,
        now: Timestamp,
    ) -> (Vec<(String, String, ProbeKind)>, Option<Timestamp>) {
        let (mut due, mut wake) = (Vec::new(), None::<Timestamp>);
        for (role, container) in pod.every_container() {
            if !matches!(role, Role::App | Role::Sidecar) {
                continue;
            }
            let Some(seen) = observed.latest(&container.name).filter(|seen| seen.state == State::Running) else { continue };
            for kind in ProbeKind::ALL {
                let Some(at) = self.next(seen, &container, kind, stopping, now) else { continue };
                if at <= now {
                    self.0.get_mut(&(seen.id.clone(), kind)).expect("next has made it").running = true;
                    due.push((seen.id.clone(), container.name.clone(), kind));
                } else {
                    wake = Some(wake.map_or(at, |known| known.min(at)));
                }
            }
        }
        (due, wake)
    }

    fn next(&mut self, seen: &Seen, container: &Container, kind: ProbeKind, stopping: bool, now: Timestamp) -> Option<Timestamp> {
        let probe = kind.of(container)?;
        let started_at = seen.started_at.unwrap_or(now);
        let first = started_at + SignedDuration::from_secs(probe.initial_delay_seconds.unwrap_or(0).into());
        let started = container.startup_probe.is_none() || self.verdict(&seen.id, ProbeKind::Startup) == Some(true);
        let tracked = self.0.entry((seen.id.clone(), kind)).or_insert_with(|| Tracked::new(probe, first));
        let wanted = match kind {
            ProbeKind::Startup => !started && !stopping,
            ProbeKind::Readiness => started,
            ProbeKind::Liveness => started && !stopping,
        };
        (wanted && !tracked.running && !tracked.held).then_some(tracked.due_at)
    }
}

impl Tracked {
    fn new(probe: &Probe, due_at: Timestamp) -> Tracked {
        Tracked {
            due_at,
            running: false,
            verdict: None,
            last: None,
            run: 0,
            period_seconds: probe.period_seconds.unwrap_or(10).max(1).into(),
            success_threshold: probe.success_threshold.unwrap_or(1).max(1),
            failure_threshold: probe.failure_threshold.unwrap_or(3).max(1),
            held: false,
        }
    }
}
