//! Lifecycle hooks: exec, HTTP, TCP and sleep.
use super::prober::{self, Target};
use super::shared::Shared;
use cri::v1::ExecSyncRequest;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};
use std::time::Duration;

/// A hook by HTTP that gets no answer for this long has failed.
const HTTP_LIMIT: Duration = Duration::from_secs(30);

impl Shared {
    pub async fn run_hook(&self, pod: &Pod, container: &Container, id: &str, ip: &str, handler: &LifecycleHandler) -> Result<(), String> {
        let target = Target { pod, container, ip };
        if let Some(exec) = &handler.exec {
            let cmd = exec.command.clone().unwrap_or_default();
            let shown = cmd.join(" ");
            let request = ExecSyncRequest { container_id: id.into(), cmd, timeout: 0 };
            let answer = self.runtime.exec_sync(request).await.map_err(|status| status.message().to_string())?;
            return match answer.exit_code {
                0 => Ok(()),
                code => {
                    let output = String::from_utf8_lossy(&[answer.stdout, answer.stderr].concat()).into_owned();
                    Err(format!("command '{shown}' exited with {code}: {output}"))
                }
            };
        }
        if let Some(get) = &handler.http_get {
            return prober::http(&target, get, HTTP_LIMIT, "kube-lifecycle/1.37").await.result;
        }
        if let Some(tcp) = &handler.tcp_socket {
            return prober::tcp(&target, tcp, HTTP_LIMIT).await.result;
        }
        match &handler.sleep {
            Some(sleep) => {
                self.clock.sleep(Duration::from_secs(sleep.seconds.max(0) as u64)).await;
                Ok(())
            }
            None => Err("invalid handler".into()),
        }
    }
}
