//! Carries out what a step asked for, one effect after the other, and tells what came of each as soon as it is known.
use super::shared::{Cancel, Shared};
use super::worker::Done;
use crate::housekeeping::rotated_logs;
use crate::pod::effect::{Effect, Kill, Outcome};
use crate::pod::observed::Observed;
use crate::pod::view::PodView;
use crate::spec::sandbox::log_directory;
use crate::status::patch;
use crate::volumes::ignore_missing;
use client::{DeleteOptions, Patch};
use cri::v1::{RemoveContainerRequest, RemovePodSandboxRequest};
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use std::fs;
use std::sync::Arc;
use tokio::sync::mpsc;

pub(super) struct Act {
    pub shared: Arc<Shared>,
    pub pod: Arc<Pod>,
    pub observed: Observed,
    pub status: Arc<PodStatus>,
    pub tell: mpsc::UnboundedSender<Done>,
    pub cancel: Cancel,
}

impl Act {
    pub async fn all(self, effects: Vec<Effect>) {
        for effect in effects {
            if self.cancel.is_set() {
                return;
            }
            self.one(effect).await;
        }
    }

    fn tell(&self, outcome: Outcome) {
        let _ = self.tell.send(Done::Outcome(outcome));
    }

    fn ip(&self) -> String {
        if self.pod.is_host_network() {
            return self.shared.node_facts().ips.first().cloned().unwrap_or_default();
        }
        self.observed.sandboxes.first().and_then(|sandbox| sandbox.ips.first()).cloned().unwrap_or_default()
    }

    async fn one(&self, effect: Effect) {
        let shared = &self.shared;
        match effect {
            Effect::Prepare => {
                if let Some(result) = self.cancel.unless(self.prepare()).await {
                    self.tell(Outcome::Prepared(result));
                }
            }
            Effect::CreateSandbox { attempt } => self.tell(Outcome::SandboxCreated(shared.create_sandbox(&self.pod, attempt).await)),
            Effect::Start(start) => {
                let result = shared.start(&self.pod, &self.observed, &start, &self.cancel).await;
                let Some(result) = result else { return };
                let image = self.pod.container(&start.name).and_then(|(_, container)| container.image).unwrap_or_default();
                self.tell(Outcome::Started { name: start.name, image, result });
            }
            Effect::Kill(kills) => self.kill(kills).await,
            Effect::KillPod { kills, sandboxes, .. } => {
                self.tell(Outcome::PodKilled(shared.kill_pod(&self.pod, &self.ip(), &kills, &sandboxes).await));
            }
            Effect::Remove { containers, sandboxes } => {
                self.tell(Outcome::Removed(self.remove(&containers, &sandboxes).await));
            }
            Effect::Resize { id, name } => {
                let result = shared.resize(&self.pod, &id, &name).await;
                self.tell(Outcome::Resized { id, result });
            }
            Effect::CleanUp => self.tell(Outcome::CleanedUp(self.clean_up())),
            Effect::DeleteObject => self.tell(Outcome::ObjectDeleted(self.delete_object().await)),
            Effect::Erase => self.tell(Outcome::Erased(self.erase().await)),
            Effect::Probe { .. } | Effect::Event { .. } | Effect::Abort => {}
        }
    }

    async fn prepare(&self) -> Result<(), String> {
        let (shared, pod) = (&self.shared, &self.pod);
        let dir = shared.volumes.pod_dir(pod.uid());
        let made = fs::create_dir_all(&dir);
        made.map_err(|error| format!("error making pod data directories: {error}"))?;
        shared.cgroups.make(pod);
        let ips = self.observed.sandboxes.first().map(|sandbox| sandbox.ips.clone()).unwrap_or_default();
        match shared.volumes.mount(pod, &shared.facts(pod, &ips)).await {
            Ok(mounted) => {
                let _ = self.tell.send(Done::Mounted { held: mounted.held, refresh_at: mounted.refresh_at });
                Ok(())
            }
            Err(error) => {
                let text = error.to_string();
                shared.event(pod, true, "FailedMount", &text, None);
                Err(text)
            }
        }
    }

    async fn kill(&self, kills: Vec<Kill>) {
        let ip = self.ip();
        let one = |kill: Kill| {
            let ip = ip.clone();
            async move {
                let result = self.shared.kill_alone(&self.pod, &ip, &kill).await;
                self.tell(Outcome::Killed { id: kill.id, result });
            }
        };
        join_all(kills.into_iter().map(one)).await;
    }

    async fn remove(&self, containers: &[String], sandboxes: &[String]) -> Result<(), String> {
        let runtime = &self.shared.runtime;
        let text = |status: cri::Status| status.message().to_string();
        for id in containers {
            let seen = self.observed.by_id(id);
            runtime.remove_container(RemoveContainerRequest { container_id: id.clone() }).await.map_err(text)?;
            if let Some(path) = seen.map(|seen| seen.log_path.as_str()).filter(|path| !path.is_empty()) {
                let _ = fs::remove_file(path);
                for rotated in rotated_logs(std::path::Path::new(path)) {
                    let _ = fs::remove_file(rotated);
                }
            }
        }
        for id in sandboxes {
            runtime.remove_pod_sandbox(RemovePodSandboxRequest { pod_sandbox_id: id.clone() }).await.map_err(text)?;
        }
        Ok(())
    }

    fn clean_up(&self) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        self.shared.volumes.unmount(self.pod.uid()).map_err(text)?;
        self.shared.cgroups.remove(&self.pod);
        Ok(())
    }

    /// The last status, then the object; both only if it is still this pod.
    async fn delete_object(&self) -> Result<(), String> {
        let (client, pod) = (&self.shared.client, &self.pod);
        if let Some(change) = patch::patch(pod.uid(), pod.pod_status(), &self.status) {
            match client.patch::<Pod>(pod.pod_namespace(), pod.pod_name(), "status", &Patch::Strategic(change)).await {
                Ok(_) => {}
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        let options = DeleteOptions { grace_period_seconds: Some(0), uid: Some(pod.uid().into()), ..DeleteOptions::default() };
        match client.delete::<Pod>(pod.pod_namespace(), pod.pod_name(), &options).await {
            Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    async fn erase(&self) -> Result<(), String> {
        let containers: Vec<String> = self.observed.containers.iter().map(|seen| seen.id.clone()).collect();
        let sandboxes: Vec<String> = self.observed.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
        self.remove(&containers, &sandboxes).await?;
        let text = |error: std::io::Error| error.to_string();
        ignore_missing(fs::remove_dir_all(log_directory(&self.shared.logs_root(), &self.pod))).map_err(text)?;
        self.shared.cgroups.remove(&self.pod);
        self.shared.volumes.erase(self.pod.uid()).map_err(text)
    }
}
