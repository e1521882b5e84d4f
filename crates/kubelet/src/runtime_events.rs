//! Tells pods that something of theirs happened in the runtime: from its event stream, or by looking every second at runtimes
//! that have none.
use crate::driver::worker::Message;
use crate::pods::Pods;
use crate::spec::labels;
use cri::v1::{ContainerEventResponse, GetEventsRequest, ListContainersRequest, ListPodSandboxRequest};
use futures::StreamExt;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use stdx::clock::Clock;

const RETRY: Duration = Duration::from_secs(1);

pub async fn follow(runtime: Arc<dyn cri::Runtime>, pods: Arc<Pods>, clock: Clock) {
    loop {
        match runtime.get_container_events(GetEventsRequest::default()).await {
            Ok(mut events) => {
                // What happened before the stream began is seen by looking.
                pods.tell_all();
                while let Some(Ok(event)) = events.next().await {
                    match uid(&event) {
                        Some(uid) => pods.tell(&uid, Message::Runtime),
                        None => pods.tell_all(),
                    }
                }
            }
            Err(status) if status.code() == cri::Code::Unimplemented => return poll(runtime, pods, clock).await,
            Err(error) => tracing::debug!(%error, "no events from the runtime"),
        }
        clock.sleep(RETRY).await;
    }
}

fn uid(event: &ContainerEventResponse) -> Option<String> {
    let metadata = event.pod_sandbox_status.as_ref().and_then(|sandbox| sandbox.metadata.as_ref());
    let by_sandbox = metadata.map(|metadata| metadata.uid.clone());
    let by_label = || event.containers_statuses.iter().find_map(|status| status.labels.get(labels::POD_UID).cloned());
    by_sandbox.or_else(by_label).filter(|uid| !uid.is_empty())
}

type Look = HashMap<String, BTreeSet<(String, i32)>>;

async fn poll(runtime: Arc<dyn cri::Runtime>, pods: Arc<Pods>, clock: Clock) {
    let mut last = Look::new();
    loop {
        match look(&*runtime).await {
            Ok(now) => {
                let changed = now.iter().filter(|(uid, states)| last.get(*uid) != Some(states));
                changed.for_each(|(uid, _)| pods.tell(uid, Message::Runtime));
                last.keys().filter(|uid| !now.contains_key(*uid)).for_each(|uid| pods.tell(uid, Message::Runtime));
                last = now;
            }
            Err(error) => tracing::debug!(%error, "the runtime cannot be asked"),
        }
        clock.sleep(RETRY).await;
    }
}

async fn look(runtime: &dyn cri::Runtime) -> cri::Result<Look> {
    let mut look = Look::new();
    for sandbox in runtime.list_pod_sandbox(ListPodSandboxRequest::default()).await?.items {
        let uid = sandbox.labels.get(labels::POD_UID).cloned().unwrap_or_default();
        look.entry(uid).or_default().insert((sandbox.id, sandbox.state));
    }
    for container in runtime.list_containers(ListContainersRequest::default()).await?.containers {
        let uid = container.labels.get(labels::POD_UID).cloned().unwrap_or_default();
        look.entry(uid).or_default().insert((container.id, container.state));
    }
    Ok(look)
}
