//! Containers of all three kinds.
use super::{Scope, env, mounts, one_of, plain, probes, requirements, security};
use crate::access::{List, Text};
use crate::core::pod::usage::is_sidecar;
use crate::meta::report;
use k8s_openapi::api::core::v1::{Container, ContainerPort, ContainerRestartRule, EphemeralContainer};
use machinery::content;
use machinery::errors::Errors;

const MAX_RESTART_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;

pub fn check(scope: &Scope, errors: &mut Errors) {
    let spec = scope.spec;
    if spec.containers.is_empty() {
        errors.required("containers", "");
    }
    let mut names: Vec<&str> = Vec::new();
    errors.each("containers", &spec.containers, |errors, container| {
        common(scope, container, errors);
        unique(errors, &mut names, &container.name);
        probes::check_all(scope, container, errors);
        restart_policy(container, errors);
    });
    host_ports("containers", &spec.containers, errors);
    let mut names: Vec<&str> = spec.containers.iter().map(|container| container.name.as_str()).collect();
    errors.each("initContainers", spec.init_containers.list(), |errors, container| {
        common(scope, container, errors);
        if container.restart_policy.is_some() || !container.restart_policy_rules.list().is_empty() {
            restart_policy(container, errors);
        }
        unique(errors, &mut names, &container.name);
        init_only(scope, container, errors);
    });
    for container in spec.init_containers.list() {
        host_ports("initContainers", std::slice::from_ref(container), errors);
    }
    ephemeral(scope, errors);
}

fn unique<'a>(errors: &mut Errors, names: &mut Vec<&'a str>, name: &'a str) {
    if names.contains(&name) {
        errors.duplicate("name", name);
    } else if !name.is_empty() {
        names.push(name);
    }
}

/// What holds for containers of every kind.
fn common(scope: &Scope, container: &Container, errors: &mut Errors) {
    match container.name.as_str() {
        "" => errors.required("name", ""),
        name => report(errors, "name", name, content::dns_label(name)),
    }
    if container.image.text().is_empty() {
        errors.required("image", "");
    }
    one_of(errors, "terminationMessagePolicy", container.termination_message_policy.text(), &["File", "FallbackToLogsOnError"]);
    ports(container.ports.list(), errors);
    env::check(container, errors);
    mounts::check(scope, container, errors);
    one_of(errors, "imagePullPolicy", container.image_pull_policy.text(), &["Always", "IfNotPresent", "Never"]);
    if let Some(resources) = &container.resources {
        errors.at("resources", |errors| requirements::container(resources, scope.spec.resource_claims.list(), errors));
    }
    requirements::resize_policy(container, scope.spec.restart_policy.text(), errors);
    if let Some(context) = &container.security_context {
        errors.at("securityContext", |errors| security::check(context, scope.host_users(), errors));
    }
}

fn ports(ports: &[ContainerPort], errors: &mut Errors) {
    let mut names: Vec<&str> = Vec::new();
    errors.each("ports", ports, |errors, port| {
        let name = port.name.text();
        let problems = if name.is_empty() { Vec::new() } else { content::port_name(name) };
        if problems.is_empty() {
            unique(errors, &mut names, name);
        }
        report(errors, "name", name, problems);
        match port.container_port {
            0 => errors.required("containerPort", ""),
            number => report(errors, "containerPort", number, content::port_number(number.into())),
        }
        if let Some(number) = port.host_port.filter(|number| *number != 0) {
            report(errors, "hostPort", number, content::port_number(number.into()));
        }
        one_of(errors, "protocol", port.protocol.text(), &["SCTP", "TCP", "UDP"]);
    });
}

/// One port of the host goes to one container.
fn host_ports(field: &str, containers: &[Container], errors: &mut Errors) {
    let mut seen: Vec<String> = Vec::new();
    errors.each(field, containers, |errors, container| {
        errors.each("ports", container.ports.list(), |errors, port| {
            let Some(number) = port.host_port.filter(|number| *number != 0) else { return };
            let place = format!("{}/{}/{number}", port.protocol.text(), port.host_ip.text());
            if seen.contains(&place) {
                errors.duplicate("hostPort", &place);
            } else {
                seen.push(place);
            }
        });
    });
}

fn restart_policy(container: &Container, errors: &mut Errors) {
    let rules = container.restart_policy_rules.list();
    match container.restart_policy.as_deref() {
        None if rules.is_empty() => return,
        None => errors.required("restartPolicy", "must specify restartPolicy when restart rules are used"),
        Some("Always" | "Never" | "OnFailure") => {}
        Some(other) => errors.not_supported("restartPolicy", other, &["Always", "Never", "OnFailure"]),
    }
    if rules.len() > MAX_RESTART_RULES {
        errors.too_many("restartPolicyRules", rules.len(), MAX_RESTART_RULES);
    }
    errors.each("restartPolicyRules", rules, |errors, rule| restart_rule(rule, errors));
}

fn restart_rule(rule: &ContainerRestartRule, errors: &mut Errors) {
    if !["Restart", "RestartAllContainers"].contains(&rule.action.as_str()) {
        errors.not_supported("action", &rule.action, &["Restart", "RestartAllContainers"]);
    }
    let Some(codes) = &rule.exit_codes else { return errors.required("exitCodes", "must be specified") };
    errors.at("exitCodes", |errors| {
        if !["In", "NotIn"].contains(&codes.operator.as_str()) {
            errors.not_supported("operator", &codes.operator, &["In", "NotIn"]);
        }
        let values = codes.values.list().len();
        if values > MAX_EXIT_CODES {
            errors.too_many("values", values, MAX_EXIT_CODES);
        }
    });
}

/// What only sidecars among the init containers may have.
fn init_only(scope: &Scope, container: &Container, errors: &mut Errors) {
    if is_sidecar(container) {
        return probes::check_all(scope, container, errors);
    }
    let refuse = |errors: &mut Errors, field, there| {
        if there {
            errors.forbidden(field, "may not be set for init containers without restartPolicy=Always");
        }
    };
    refuse(errors, "lifecycle", container.lifecycle.is_some());
    refuse(errors, "livenessProbe", container.liveness_probe.is_some());
    refuse(errors, "readinessProbe", container.readiness_probe.is_some());
    refuse(errors, "startupProbe", container.startup_probe.is_some());
    errors.each("resizePolicy", container.resize_policy.list(), |errors, policy| {
        if policy.restart_policy == "RestartContainer" {
            errors.invalid("restartPolicy", "RestartContainer", "must not be set to 'RestartContainer' for non-sidecar initContainers");
        }
    });
}

fn ephemeral(scope: &Scope, errors: &mut Errors) {
    let spec = scope.spec;
    let others: Vec<&str> = spec.containers.iter().chain(spec.init_containers.list()).map(|container| container.name.as_str()).collect();
    let mut names = others.clone();
    errors.each("ephemeralContainers", spec.ephemeral_containers.list(), |errors, container| {
        common(scope, &plain(container), errors);
        let image = container.image.text();
        if image.trim() != image {
            errors.invalid("image", image, "must not have leading or trailing whitespace");
        }
        unique(errors, &mut names, &container.name);
        let target = container.target_container_name.text();
        if !target.is_empty() && !others.contains(&target) {
            errors.not_found("targetContainerName", target);
        }
        ephemeral_only(container, errors);
    });
}

fn ephemeral_only(container: &EphemeralContainer, errors: &mut Errors) {
    const WHY: &str = "cannot be set for an Ephemeral Container";
    let resources = container.resources.as_ref().is_some_and(|list| *list != Default::default());
    for (field, there) in [
        ("ports", !container.ports.list().is_empty()),
        ("resources", resources),
        ("resizePolicy", !container.resize_policy.list().is_empty()),
        ("restartPolicy", container.restart_policy.is_some()),
        ("restartPolicyRules", !container.restart_policy_rules.list().is_empty()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
        ("lifecycle", container.lifecycle.is_some()),
    ] {
        if there {
            errors.forbidden(field, WHY);
        }
    }
    errors.each("volumeMounts", container.volume_mounts.list(), |errors, mount| {
        for (field, path) in [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)] {
            if !path.text().is_empty() {
                errors.forbidden(field, WHY);
            }
        }
    });
}
