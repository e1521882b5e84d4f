//! Container events for whoever follows them. A follower that is too slow is told that it missed some by the end of its stream.
use crate::runtime::{Runtime, now_ns};
use cri::v1::{ContainerEventResponse, ContainerEventType};
use tokio::sync::broadcast;

/// How many events a slow follower may lag behind.
const BACKLOG_LIMIT: usize = 1000;

pub struct Events(broadcast::Sender<ContainerEventResponse>);

impl Events {
    pub fn new() -> Events {
        Events(broadcast::Sender::new(BACKLOG_LIMIT))
    }

    pub fn follow(&self) -> cri::Streaming<ContainerEventResponse> {
        let receiver = self.0.subscribe();
        Box::pin(futures::stream::unfold(Some(receiver), |receiver| async move {
            let mut receiver = receiver?;
            match receiver.recv().await {
                Ok(event) => Some((Ok(event), Some(receiver))),
                Err(broadcast::error::RecvError::Lagged(count)) => {
                    Some((Err(cri::Status::data_loss(format!("{count} events were missed"))), None))
                }
                Err(broadcast::error::RecvError::Closed) => None,
            }
        }))
    }
}

impl Default for Events {
    fn default() -> Events {
        Events::new()
    }
}

impl Runtime {
    /// Tells followers what became of a container or, for an id of a sandbox, of that.
    pub(crate) fn tell(&self, id: &str, kind: ContainerEventType) {
        if self.events.0.receiver_count() == 0 {
            return;
        }
        let sandbox = self.container(id).map(|container| container.record.lock().sandbox.clone()).unwrap_or_else(|_| id.to_owned());
        let event = ContainerEventResponse {
            container_id: id.to_owned(),
            container_event_type: kind as i32,
            created_at: now_ns(),
            pod_sandbox_status: self.sandbox(&sandbox).ok().map(|one| self.sandbox_status(&one)),
            containers_statuses: self.containers_of(&sandbox).iter().map(|one| self.container_status(one)).collect(),
        };
        self.events.0.send(event).ok();
    }
}
