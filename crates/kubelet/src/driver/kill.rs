//! Ends containers: preStop hook, the turn of sidecars, the stop signal, the kill. And whole pods.
use super::shared::{Shared, to_the_end};
use crate::pod::effect::Kill;
use crate::pod::view::{PodView, Role};
use cri::v1::{StopContainerRequest, StopPodSandboxRequest};
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Container, Pod};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;

/// A container always gets this long to end by itself.
const MIN_GRACE_SECONDS: i64 = 2;

/// Which containers have ended, for those that wait their turn.
struct Turns {
    ended: HashMap<String, watch::Sender<bool>>,
    /// By name: who must have ended before.
    after: HashMap<String, Vec<String>>,
}

impl Turns {
    /// Apps end first, all at once; then sidecars, the last one first.
    fn new(pod: &Pod, kills: &[Kill]) -> Turns {
        let running: Vec<&str> = kills.iter().map(|kill| kill.name.as_str()).collect();
        let mut after = HashMap::new();
        let mut before: Vec<String> = pod.pod_spec().containers.iter().map(|app| app.name.clone()).collect();
        before.retain(|name| running.contains(&name.as_str()));
        for container in pod.init_containers().iter().rev().filter(|container| crate::pod::view::is_sidecar(container)) {
            after.insert(container.name.clone(), before.clone());
            if running.contains(&container.name.as_str()) {
                before.push(container.name.clone());
            }
        }
        let ended = kills.iter().map(|kill| (kill.name.clone(), watch::Sender::new(false))).collect();
        Turns { ended, after }
    }

    async fn wait(&self, name: &str) {
        for other in self.after.get(name).into_iter().flatten() {
            if let Some(ended) = self.ended.get(other) {
                let _ = ended.subscribe().wait_for(|ended| *ended).await;
            }
        }
    }

    fn ended(&self, name: &str) {
        if let Some(ended) = self.ended.get(name) {
            ended.send_replace(true);
        }
    }
}

impl Shared {
    pub async fn kill_pod(&self, pod: &Pod, ip: &str, kills: &[Kill], sandboxes: &[String]) -> Result<(), String> {
        let turns = Turns::new(pod, kills);
        let results = join_all(kills.iter().map(|kill| self.kill(pod, ip, kill, Some(&turns)))).await;
        results.into_iter().collect::<Result<Vec<()>, String>>()?;
        for id in sandboxes {
            let (runtime, request) = (self.runtime.clone(), StopPodSandboxRequest { pod_sandbox_id: id.clone() });
            let result = to_the_end(async move { runtime.stop_pod_sandbox(request).await }).await;
            if let Err(status) = result
                && status.code() != cri::Code::NotFound
            {
                let message = format!("error killing pod: failed to \"KillPodSandbox\": {}", status.message());
                self.event(pod, true, "FailedKillPod", &message, None);
                return Err(message);
            }
        }
        Ok(())
    }

    pub async fn kill_alone(&self, pod: &Pod, ip: &str, kill: &Kill) -> Result<(), String> {
        self.kill(pod, ip, kill, None).await
    }

    async fn kill(&self, pod: &Pod, ip: &str, kill: &Kill, turns: Option<&Turns>) -> Result<(), String> {
        let message = if kill.message.is_empty() { format!("Stopping container {}", kill.name) } else { kill.message.clone() };
        self.event(pod, false, "Killing", &message, Some(&kill.name));
        let begun = self.clock.instant();
        let mut left = kill.grace_seconds;
        let found = pod.container(&kill.name).filter(|(role, _)| *role != Role::Ephemeral);
        let hook = found.as_ref().and_then(|(_, container)| Some((container, container.lifecycle.as_ref()?.pre_stop.as_ref()?)));
        if let Some((container, hook)) = hook.filter(|_| left > 0) {
            self.pre_stop(pod, container, kill, ip, hook).await;
            left = kill.grace_seconds - begun.elapsed().as_secs() as i64;
        }
        if let Some(turns) = turns.filter(|_| left > 0) {
            let limit = Duration::from_secs(left as u64);
            let _ = tokio::time::timeout(limit, turns.wait(&kill.name)).await;
            left = kill.grace_seconds - begun.elapsed().as_secs() as i64;
        }
        let timeout = left.max(MIN_GRACE_SECONDS);
        let (runtime, request) = (self.runtime.clone(), StopContainerRequest { container_id: kill.id.clone(), timeout });
        let result = to_the_end(async move { runtime.stop_container(request).await }).await;
        if let Some(turns) = turns {
            turns.ended(&kill.name);
        }
        match result {
            Err(status) if status.code() != cri::Code::NotFound => Err(status.message().to_string()),
            _ => Ok(()),
        }
    }

    async fn pre_stop(&self, pod: &Pod, container: &Container, kill: &Kill, ip: &str, hook: &k8s_openapi::api::core::v1::LifecycleHandler) {
        let limit = Duration::from_secs(kill.grace_seconds as u64);
        let run = self.run_hook(pod, container, &kill.id, ip, hook);
        match tokio::time::timeout(limit, run).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(pod = pod.shown(), container = container.name, error, "preStop hook failed");
                self.event(pod, true, "FailedPreStopHook", "PreStopHook failed", Some(&container.name));
            }
            Err(_) => tracing::debug!(pod = pod.shown(), container = container.name, "preStop hook ran out of time"),
        }
    }
}
