//! Which pods run here: from the API, from manifests, and what the runtime still holds. Starts a task for each, routes news to
//! it, and keeps the mirrors of static pods. It decides only admission, by asking `admission`.
use crate::admission;
use crate::driver::shared::Shared;
use crate::driver::worker::{Message, View, Worker};
use crate::manifests;
use crate::pod::record::{PodRecord, Source};
use crate::pod::view::{HASH_ANNOTATION, MIRROR_ANNOTATION, PodView};
use crate::spec::labels;
use crate::volumes::sources;
use client::{DeleteOptions, Delta, Informer};
use cri::v1::{ListContainersRequest, ListPodSandboxRequest};
use k8s_openapi::api::core::v1::{Node, Pod};
use machinery::meta::Key;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

/// How often the manifest directory is read.
const SCAN: Duration = Duration::from_secs(5);

type Annotations = BTreeMap<String, String>;

/// A pod's task as others reach it.
#[derive(Clone)]
pub struct Handle {
    tell: mpsc::UnboundedSender<Message>,
    pub view: Arc<RwLock<View>>,
    pub key: Key,
    pub source: Source,
    task: AbortHandle,
}

pub struct Pods {
    shared: Arc<Shared>,
    node: watch::Receiver<Option<Arc<Node>>>,
    manifest_dir: Option<PathBuf>,
    handles: Mutex<HashMap<String, Handle>>,
    mirrors: Mutex<HashMap<Key, Arc<Pod>>>,
    /// Uids that the runtime held when the kubelet started: they have been admitted before.
    held_before: Mutex<HashSet<String>>,
}

impl Drop for Pods {
    fn drop(&mut self) {
        self.handles.lock().values().for_each(|handle| handle.task.abort());
    }
}

impl Pods {
    pub fn new(shared: Arc<Shared>, node: watch::Receiver<Option<Arc<Node>>>, manifest_dir: Option<PathBuf>) -> Pods {
        Pods { shared, node, manifest_dir, handles: Mutex::default(), mirrors: Mutex::default(), held_before: Mutex::default() }
    }

    /// Every pod that has a task.
    pub fn all(&self) -> Vec<Handle> {
        self.handles.lock().values().cloned().collect()
    }

    pub fn find(&self, namespace: &str, name: &str) -> Option<Handle> {
        let key = Key::new(namespace, name);
        let handles = self.handles.lock();
        let mut found: Vec<&Handle> = handles.values().filter(|handle| handle.key == key).collect();
        found.sort_by_key(|handle| handle.view.read().ended);
        found.first().map(|handle| (*handle).clone())
    }

    pub fn tell(&self, uid: &str, message: Message) {
        if let Some(handle) = self.handles.lock().get(uid) {
            let _ = handle.tell.send(message);
        }
    }

    /// Lets go of all pods; their containers go on.
    pub fn stop(&self) {
        self.handles.lock().drain().for_each(|(_, handle)| handle.task.abort());
    }

    /// The runtime may have changed anything.
    pub fn tell_all(&self) {
        for handle in self.handles.lock().values() {
            let _ = handle.tell.send(Message::Runtime);
        }
    }

    /// An object changed that volumes may show.
    pub fn changed(&self, kind: &str, key: &Key) {
        for handle in self.handles.lock().values().filter(|handle| handle.key.namespace == key.namespace) {
            if sources::mounts(&handle.view.read().pod, kind, &key.name) {
                let _ = handle.tell.send(Message::Refresh);
            }
        }
    }

    /// Takes pods from all sources until the kubelet ends.
    pub async fn run(self: Arc<Self>, informer: Arc<Informer<Pod>>) {
        let lost = self.look_at_runtime().await;
        let (finished, mut ends) = mpsc::unbounded_channel();
        let (deltas, mut news) = mpsc::unbounded_channel();
        self.scan(&finished);
        let mut scan = tokio::time::interval(SCAN);
        let mut waiting = Some(lost);
        let synced = {
            let (informer, mut node) = (informer.clone(), self.node.clone());
            async move {
                informer.synced().await;
                // Pods are admitted against the node as the API has it.
                let _ = node.wait_for(Option::is_some).await;
            }
        };
        tokio::pin!(synced);
        loop {
            tokio::select! {
                () = &mut synced, if waiting.is_some() => {
                    let deltas = deltas.clone();
                    informer.subscribe(move |delta| drop(deltas.send(delta.clone())));
                    while let Ok(delta) = news.try_recv() {
                        self.take(delta, &finished);
                    }
                    self.end_lost(waiting.take().unwrap_or_default(), &finished);
                    self.sweep();
                    self.mirror_all();
                }
                Some(delta) = news.recv() => self.take(delta, &finished),
                Some(uid) = ends.recv() => self.retire(&uid),
                _ = scan.tick(), if self.manifest_dir.is_some() => {
                    self.scan(&finished);
                    if waiting.is_none() {
                        self.mirror_all();
                    }
                }
            }
        }
    }

    /// What the runtime holds, by pod uid: enough to end it.
    async fn look_at_runtime(&self) -> HashMap<String, Pod> {
        let runtime = &self.shared.runtime;
        let (sandboxes, containers) = loop {
            let sandboxes = runtime.list_pod_sandbox(ListPodSandboxRequest::default()).await;
            let containers = runtime.list_containers(ListContainersRequest::default()).await;
            match (sandboxes, containers) {
                (Ok(sandboxes), Ok(containers)) => break (sandboxes.items, containers.containers),
                (Err(error), _) | (_, Err(error)) => {
                    tracing::warn!(%error, "the runtime cannot be asked");
                    self.shared.clock.sleep(Duration::from_secs(1)).await;
                }
            }
        };
        let sorted = |map: HashMap<String, String>| map.into_iter().collect::<BTreeMap<_, _>>();
        let mut held: HashMap<String, BTreeMap<String, String>> = HashMap::new();
        let mut inside: HashMap<String, Vec<(String, Annotations)>> = HashMap::new();
        for sandbox in sandboxes {
            let labels = sorted(sandbox.labels);
            held.insert(labels.get(labels::POD_UID).cloned().unwrap_or_default(), labels);
        }
        for container in containers {
            let labels = sorted(container.labels);
            let uid = labels.get(labels::POD_UID).cloned().unwrap_or_default();
            let name = labels.get(labels::CONTAINER_NAME).cloned().unwrap_or_default();
            inside.entry(uid.clone()).or_default().push((name, sorted(container.annotations)));
            held.entry(uid).or_insert(labels);
        }
        held.remove("");
        *self.held_before.lock() = held.keys().cloned().collect();
        let pod = |(uid, labels): (String, BTreeMap<String, String>)| {
            let containers = inside.get(&uid).into_iter().flatten().map(|(name, annotations)| (name.as_str(), annotations));
            let pod = labels::remembered_pod(&labels, containers);
            (uid, pod)
        };
        held.into_iter().map(pod).collect()
    }

    /// Containers whose pod nobody knows any more are ended in order.
    fn end_lost(&self, held: HashMap<String, Pod>, finished: &mpsc::UnboundedSender<String>) {
        for (uid, pod) in held {
            if self.handles.lock().contains_key(&uid) {
                continue;
            }
            tracing::info!(pod = pod.shown(), "ending containers of a pod that is no longer there");
            let mut record = PodRecord::new(Arc::new(pod), Source::Lost, self.shared.clock.now());
            record.gone = true;
            self.start(record, finished);
        }
    }

    /// Removes directories of pods that are gone without a trace in API and runtime.
    fn sweep(&self) {
        let names = |dir: &std::path::Path| {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        let known = |uid: &str| self.handles.lock().contains_key(uid);
        let root = &self.shared.settings.root_dir;
        for uid in names(&root.join("pods")).iter().filter(|uid| !known(uid)) {
            if let Err(error) = self.shared.volumes.erase(uid) {
                tracing::warn!(%error, uid, "directory of a pod that is gone not removed");
            }
        }
        let logs = &self.shared.settings.pod_logs_dir;
        for name in names(logs) {
            let gone = name.rsplit_once('_').is_some_and(|(rest, uid)| rest.contains('_') && !known(uid));
            if gone && let Err(error) = std::fs::remove_dir_all(logs.join(&name)) {
                tracing::warn!(%error, name, "logs of a pod that is gone not removed");
            }
        }
    }

    fn take(&self, delta: Delta<Pod>, finished: &mpsc::UnboundedSender<String>) {
        let pod = delta.object().clone();
        let deleted = matches!(delta, Delta::Deleted(_));
        if pod.is_mirror() {
            return self.take_mirror(pod, deleted);
        }
        if let Delta::Updated { old, new } = &delta
            && old.uid() != new.uid()
        {
            self.tell(old.uid(), Message::Gone(None));
        }
        let known = self.handles.lock().contains_key(pod.uid());
        match (known, deleted) {
            (true, true) => self.tell(pod.uid(), Message::Gone(Some(pod.clone()))),
            (true, false) => self.tell(pod.uid(), Message::Pod(pod.clone())),
            (false, true) => {}
            (false, false) => self.begin(pod, Source::Api, finished),
        }
    }

    fn begin(&self, pod: Arc<Pod>, source: Source, finished: &mpsc::UnboundedSender<String>) {
        let now = self.shared.clock.now();
        let mut record = PodRecord::new(pod.clone(), source, now);
        let fresh = !self.held_before.lock().contains(pod.uid());
        if fresh && pod.metadata.deletion_timestamp.is_none() && !pod.is_terminal() {
            let others = self.using(pod.uid());
            let node = self.node.borrow().clone();
            let allocatable = self.shared.machine.read().allocatable.clone();
            if let Some(Err(refusal)) = node.map(|node| admission::admit(&pod, &node, &allocatable, &others)) {
                self.shared.event(&pod, true, &refusal.reason, refusal.message.trim_start_matches("Pod was rejected: "), None);
                record.refuse(&refusal.reason, &refusal.message, now);
            }
        }
        self.start(record, finished);
    }

    /// Pods that use the node now, without `uid`.
    fn using(&self, uid: &str) -> Vec<Arc<Pod>> {
        let handles = self.handles.lock();
        let live = handles.iter().filter(|(other, handle)| *other != uid && handle.source != Source::Lost);
        let views = live.map(|(_, handle)| handle.view.read());
        views.filter(|view| !view.ended && !view.pod.is_terminal()).map(|view| view.pod.clone()).collect()
    }

    fn start(&self, record: PodRecord, finished: &mpsc::UnboundedSender<String>) {
        let (tell, inbox) = mpsc::unbounded_channel();
        let refused = record.stop.is_some();
        let view = Arc::new(RwLock::new(View { pod: record.pod.clone(), ended: refused, ..View::default() }));
        let key = Key::of(&record.pod.metadata);
        let (uid, source) = (record.pod.uid().to_string(), record.source);
        let mirror = (source == Source::Static).then(|| self.mirrors.lock().get(&key).cloned()).flatten();
        let worker = Worker::new(self.shared.clone(), record, inbox, view.clone(), mirror);
        let (finished, end) = (finished.clone(), uid.clone());
        let task = tokio::spawn(async move {
            worker.run().await;
            let _ = finished.send(end);
        });
        self.handles.lock().insert(uid, Handle { tell, view, key, source, task: task.abort_handle() });
    }

    /// Static pods as the manifests have them now.
    fn scan(&self, finished: &mpsc::UnboundedSender<String>) {
        let Some(dir) = &self.manifest_dir else { return };
        let pods = manifests::read(dir, &self.shared.settings.node_name, self.shared.clock.now());
        let wanted: HashSet<String> = pods.iter().map(|pod| pod.uid().to_string()).collect();
        let there: Vec<(String, Key)> = {
            let handles = self.handles.lock();
            handles
                .iter()
                .filter(|(_, handle)| handle.source == Source::Static)
                .map(|(uid, handle)| (uid.clone(), handle.key.clone()))
                .collect()
        };
        for (uid, _) in there.iter().filter(|(uid, _)| !wanted.contains(uid)) {
            self.tell(uid, Message::Gone(None));
        }
        for pod in pods {
            // A changed manifest is another pod of the same name: it waits until the old one is gone.
            if !there.iter().any(|(_, key)| *key == Key::of(&pod.metadata)) {
                self.begin(Arc::new(pod), Source::Static, finished);
            }
        }
    }

    fn take_mirror(&self, mirror: Arc<Pod>, deleted: bool) {
        let key = Key::of(&mirror.metadata);
        match deleted {
            true => drop(self.mirrors.lock().remove(&key)),
            false => drop(self.mirrors.lock().insert(key.clone(), mirror.clone())),
        }
        let owner = self.static_pod(&key);
        let shown = owner.as_ref().is_some_and(|pod| pod.annotation(HASH_ANNOTATION) == mirror.annotation(MIRROR_ANNOTATION));
        if let Some(pod) = &owner {
            self.tell(pod.uid(), Message::Mirror((!deleted && shown).then(|| mirror.clone())));
        }
        if !deleted && (!shown || mirror.metadata.deletion_timestamp.is_some()) {
            self.delete_mirror(mirror);
        }
        if deleted {
            self.mirror_all();
        }
    }

    fn delete_mirror(&self, mirror: Arc<Pod>) {
        let client = self.shared.client.clone();
        tokio::spawn(async move {
            let options = DeleteOptions { grace_period_seconds: Some(0), uid: Some(mirror.uid().into()), ..DeleteOptions::default() };
            if let Err(error) = client.delete::<Pod>(mirror.pod_namespace(), mirror.pod_name(), &options).await {
                tracing::debug!(%error, pod = mirror.shown(), "mirror pod not deleted");
            }
        });
    }

    /// A pod's task has ended: nothing of the pod is left. The mirror of a static pod goes with it.
    fn retire(&self, uid: &str) {
        let handle = self.handles.lock().remove(uid);
        let Some(handle) = handle.filter(|handle| handle.source == Source::Static) else { return };
        if let Some(mirror) = self.mirrors.lock().get(&handle.key).cloned() {
            self.delete_mirror(mirror);
        }
    }

    fn static_pod(&self, key: &Key) -> Option<Arc<Pod>> {
        let handles = self.handles.lock();
        let found = handles.values().find(|handle| handle.source == Source::Static && handle.key == *key);
        found.map(|handle| handle.view.read().pod.clone())
    }

    /// Makes the mirrors that are missing.
    fn mirror_all(&self) {
        let handles = self.all();
        let node_uid = self.node.borrow().as_ref().and_then(|node| node.metadata.uid.clone());
        for handle in handles.into_iter().filter(|handle| handle.source == Source::Static) {
            let view = handle.view.read();
            if view.ended || self.mirrors.lock().contains_key(&handle.key) {
                continue;
            }
            let (mirror, client) = (manifests::mirror(&view.pod, node_uid.as_deref()), self.shared.client.clone());
            tokio::spawn(async move {
                if let Err(error) = client.create(mirror.pod_namespace(), &mirror).await
                    && !error.is_already_exists()
                {
                    tracing::debug!(%error, pod = mirror.pod_name(), "mirror pod not created");
                }
            });
        }
    }
}
