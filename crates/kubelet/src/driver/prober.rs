//! Carries out one probe: exec, HTTP, TCP or gRPC. What a result means is decided elsewhere.
use super::grpc;
use super::shared::Shared;
use crate::pod::probe::ProbeKind;
use crate::pod::view::PodView;
use crate::probe_http;
use cri::v1::ExecSyncRequest;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Pod, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::time::Duration;

/// Output in events longer than this is cut.
const MAX_OUTPUT_BYTES: usize = 10 * 1024;

/// Whom a probe asks.
pub struct Target<'a> {
    pub pod: &'a Pod,
    pub container: &'a Container,
    pub ip: &'a str,
}

/// `Err`: it failed, and with what output. `unknown`: nothing can be said.
pub struct Answer {
    pub result: Result<(), String>,
    pub unknown: bool,
    pub warning: Option<String>,
}

impl Answer {
    pub fn of(result: Result<(), String>) -> Answer {
        Answer { result, unknown: false, warning: None }
    }

    fn unknown(error: String) -> Answer {
        Answer { result: Err(error), unknown: true, warning: None }
    }
}

impl Shared {
    /// Probes once; tells the user of failures. `None`: the result does not count.
    pub async fn probe(&self, pod: &Pod, container: &Container, id: &str, ip: &str, kind: ProbeKind) -> Option<bool> {
        let probe = kind.of(container)?;
        let limit = Duration::from_secs(probe.timeout_seconds.unwrap_or(1).max(1) as u64);
        let target = Target { pod, container, ip };
        let answer = self.ask(&target, probe, id, limit).await;
        let tell = |reason: &str, message: String| self.event(pod, true, reason, &message, Some(&container.name));
        if let Some(warning) = answer.warning {
            tell("ProbeWarning", format!("{} probe warning: {warning}", kind.shown()));
        }
        match answer.result {
            Ok(()) => Some(true),
            Err(error) if answer.unknown => {
                tell("Unhealthy", format!("{} probe errored and resulted in unknown state: {}", kind.shown(), cut(error)));
                None
            }
            Err(output) => {
                tell("Unhealthy", format!("{} probe failed: {}", kind.shown(), cut(output)));
                Some(false)
            }
        }
    }

    async fn ask(&self, target: &Target<'_>, probe: &Probe, id: &str, limit: Duration) -> Answer {
        if let Some(exec) = &probe.exec {
            return self.exec(id, exec.command.clone().unwrap_or_default(), limit).await;
        }
        if let Some(get) = &probe.http_get {
            return http(target, get, limit, "kube-probe/1.37").await;
        }
        if let Some(socket) = &probe.tcp_socket {
            return tcp(target, socket, limit).await;
        }
        match &probe.grpc {
            Some(action) => {
                let address = address(target.ip, action.port as u16);
                Answer::of(grpc::check(&address, action.service.as_deref().unwrap_or_default(), limit).await)
            }
            None => Answer::unknown(format!("missing probe handler for {}:{}", target.pod.shown(), target.container.name)),
        }
    }

    async fn exec(&self, id: &str, cmd: Vec<String>, limit: Duration) -> Answer {
        let shown = cmd.join(" ");
        let request = ExecSyncRequest { container_id: id.into(), cmd, timeout: limit.as_secs() as i64 };
        match self.runtime.exec_sync(request).await {
            Ok(answer) if answer.exit_code == 0 => Answer::of(Ok(())),
            Ok(answer) => Answer::of(Err(String::from_utf8_lossy(&[answer.stdout, answer.stderr].concat()).into_owned())),
            Err(status) if status.code() == cri::Code::DeadlineExceeded => {
                Answer::of(Err(format!("command timed out: \"{shown}\" timed out after {}s", limit.as_secs())))
            }
            Err(status) => Answer::unknown(format!("rpc error: code = {:?} desc = {}", status.code(), status.message())),
        }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_OUTPUT_BYTES {
        let mut end = MAX_OUTPUT_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

pub fn port(container: &Container, port: &IntOrString) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_ref() == Some(name));
            match named {
                Some(port) => port.container_port,
                None => name.parse().map_err(|_| format!("couldn't find port: {name} in {}", container.name))?,
            }
        }
    };
    u16::try_from(number).ok().filter(|number| *number > 0).ok_or_else(|| format!("invalid port number: {number}"))
}

pub fn address(ip: &str, port: u16) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

pub async fn tcp(target: &Target<'_>, action: &TCPSocketAction, limit: Duration) -> Answer {
    let port = match port(target.container, &action.port) {
        Ok(port) => port,
        Err(error) => return Answer::unknown(error),
    };
    let host = action.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(target.ip);
    let address = address(host, port);
    Answer::of(probe_http::connect(&address, limit).await.map(drop))
}

pub async fn http(target: &Target<'_>, action: &HTTPGetAction, limit: Duration, agent: &str) -> Answer {
    let port = match port(target.container, &action.port) {
        Ok(port) => port,
        Err(error) => return Answer::unknown(error),
    };
    let host = action.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(target.ip);
    let path = action.path.as_deref().unwrap_or_default();
    let path = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
    let headers = action.http_headers.iter().flatten().map(|header| (header.name.clone(), header.value.clone())).collect();
    let request = probe_http::Get {
        https: action.scheme.as_deref() == Some("HTTPS"),
        address: address(host, port),
        path,
        headers,
        agent: agent.into(),
    };
    match tokio::time::timeout(limit, probe_http::get(&request)).await {
        Ok(Ok(None)) => Answer::of(Ok(())),
        Ok(Ok(Some(warning))) => Answer { warning: Some(warning), ..Answer::of(Ok(())) },
        Ok(Err(error)) => Answer::of(Err(error)),
        Err(_) => {
            let text = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
            Answer::of(Err(format!("Get \"{}\": {text}", request.url())))
        }
    }
}
