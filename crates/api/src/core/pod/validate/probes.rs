//! Probes and lifecycle hooks.
use super::Scope;
use crate::access::{List, Text};
use crate::forms::http_header;
use crate::meta::{not_negative, report};
use k8s_openapi::api::core::v1::{
    Container, ExecAction, GRPCAction, HTTPGetAction, Lifecycle, LifecycleHandler, Probe, SleepAction, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::content;
use machinery::errors::Errors;

/// What a probe or hook does; exactly one of these.
#[derive(Clone, Copy, Default)]
struct Handler<'a> {
    exec: Option<&'a ExecAction>,
    http: Option<&'a HTTPGetAction>,
    tcp: Option<&'a TCPSocketAction>,
    grpc: Option<&'a GRPCAction>,
    sleep: Option<&'a SleepAction>,
}

/// Checks the hooks and the three probes of a container that runs on.
pub fn check_all(scope: &Scope, container: &Container, errors: &mut Errors) {
    let grace = scope.spec.termination_grace_period_seconds;
    if let Some(lifecycle) = &container.lifecycle {
        errors.at("lifecycle", |errors| hooks(scope, lifecycle, grace, errors));
    }
    let once = |errors: &mut Errors, probe: &Probe| {
        if probe.success_threshold != Some(1) {
            errors.invalid("successThreshold", probe.success_threshold.unwrap_or(0), "must be 1");
        }
    };
    if let Some(probe) = &container.liveness_probe {
        errors.at("livenessProbe", |errors| {
            check(probe, grace, errors);
            once(errors, probe);
        });
    }
    if let Some(probe) = &container.readiness_probe {
        errors.at("readinessProbe", |errors| {
            check(probe, grace, errors);
            if probe.termination_grace_period_seconds.is_some() {
                let seconds = probe.termination_grace_period_seconds;
                errors.invalid("terminationGracePeriodSeconds", seconds, "must not be set for readinessProbes");
            }
        });
    }
    if let Some(probe) = &container.startup_probe {
        errors.at("startupProbe", |errors| {
            check(probe, grace, errors);
            once(errors, probe);
        });
    }
}

fn check(probe: &Probe, grace: Option<i64>, errors: &mut Errors) {
    let handler = Handler {
        exec: probe.exec.as_ref(),
        http: probe.http_get.as_ref(),
        tcp: probe.tcp_socket.as_ref(),
        grpc: probe.grpc.as_ref(),
        sleep: None,
    };
    one_handler(handler, grace, errors);
    for (field, value) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        not_negative(errors, field, value.unwrap_or(0));
    }
    if let Some(seconds) = probe.termination_grace_period_seconds.filter(|seconds| *seconds <= 0) {
        errors.invalid("terminationGracePeriodSeconds", seconds, "must be greater than 0");
    }
}

fn hooks(scope: &Scope, lifecycle: &Lifecycle, grace: Option<i64>, errors: &mut Errors) {
    let handler = |hook: &LifecycleHandler, errors: &mut Errors| {
        let handler = Handler {
            exec: hook.exec.as_ref(),
            http: hook.http_get.as_ref(),
            tcp: hook.tcp_socket.as_ref(),
            grpc: None,
            sleep: hook.sleep.as_ref(),
        };
        one_handler(handler, grace, errors);
    };
    if let Some(hook) = &lifecycle.post_start {
        errors.at("postStart", |errors| handler(hook, errors));
    }
    if let Some(hook) = &lifecycle.pre_stop {
        errors.at("preStop", |errors| handler(hook, errors));
    }
    if let Some(signal) = &lifecycle.stop_signal {
        match scope.spec.os.as_ref().map(|os| os.name.as_str()) {
            None => errors.forbidden("stopSignal", "may not be set for containers with empty `spec.os.name`"),
            Some("windows") if !["SIGKILL", "SIGTERM"].contains(&signal.as_str()) => {
                errors.not_supported("stopSignal", signal, &["SIGKILL", "SIGTERM"]);
            }
            Some("linux") if !signal.starts_with("SIG") => errors.not_supported("stopSignal", signal, LINUX_SIGNALS),
            _ => {}
        }
    }
}

const LINUX_SIGNALS: &[&str] = &["SIGABRT", "SIGHUP", "SIGINT", "SIGKILL", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2"];

fn one_handler(handler: Handler, grace: Option<i64>, errors: &mut Errors) {
    let mut seen = false;
    let mut visit = |errors: &mut Errors, field: &str, there: bool, check: &dyn Fn(&mut Errors)| {
        if there && std::mem::replace(&mut seen, true) {
            errors.forbidden(field, "may not specify more than 1 handler type");
        } else if there {
            errors.at(field, check);
        }
    };
    visit(errors, "exec", handler.exec.is_some(), &|errors| {
        if handler.exec.is_some_and(|exec| exec.command.list().is_empty()) {
            errors.required("command", "");
        }
    });
    visit(errors, "httpGet", handler.http.is_some(), &|errors| handler.http.into_iter().for_each(|http| http_get(http, errors)));
    visit(errors, "tcpSocket", handler.tcp.is_some(), &|errors| handler.tcp.into_iter().for_each(|tcp| port(errors, "port", &tcp.port)));
    visit(errors, "grpc", handler.grpc.is_some(), &|errors| {
        let Some(grpc) = handler.grpc else { return };
        report(errors, "port", grpc.port, content::port_number(grpc.port.into()));
    });
    visit(errors, "sleep", handler.sleep.is_some(), &|errors| {
        let (Some(sleep), Some(grace)) = (handler.sleep, grace) else { return };
        if sleep.seconds < 0 || sleep.seconds > grace {
            let why = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
            errors.invalid("", sleep.seconds, &why);
        }
    });
    if !seen {
        errors.required("", "must specify a handler type");
    }
}

fn http_get(http: &HTTPGetAction, errors: &mut Errors) {
    if http.path.text().is_empty() {
        errors.required("path", "");
    }
    port(errors, "port", &http.port);
    if !["HTTP", "HTTPS"].contains(&http.scheme.text()) {
        errors.not_supported("scheme", http.scheme.text(), &["HTTP", "HTTPS"]);
    }
    for header in http.http_headers.list() {
        report(errors, "httpHeaders", &header.name, http_header(&header.name));
    }
}

/// Checks a port's number or name.
pub fn port(errors: &mut Errors, field: &str, port: &IntOrString) {
    match port {
        IntOrString::Int(number) => report(errors, field, number, content::port_number((*number).into())),
        IntOrString::String(name) => report(errors, field, name, content::port_name(name)),
    }
}
