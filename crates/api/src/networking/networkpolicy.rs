//! NetworkPolicy: what the selected pods may talk to, and what may talk to them.
use super::addresses::{cidr, is_strict_part};
use crate::check::{OBJECT_VERBS, column, selector_cell};
use crate::meta::{label_selector, report};
use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::{Kind, Names};
use machinery::table::{age_column, name_column};

pub static NETWORKPOLICY: Kind<NetworkPolicy> = Kind {
    default,
    on_create: |policy| policy.metadata.generation = Some(1),
    on_update: |new, old| {
        new.metadata.generation = Some(old.metadata.generation.unwrap_or(0) + i64::from(new.spec != old.spec));
    },
    validate: |policy, errors| {
        let spec = policy.spec.clone().unwrap_or_default();
        errors.at("spec", |errors| validate(&spec, errors));
    },
    columns: &[
        name_column(),
        column("Pod-Selector", "string", |policy, _| {
            let spec = policy.spec.clone().unwrap_or_default();
            selector_cell(Some(&spec.pod_selector.unwrap_or_default()))
        }),
        age_column(),
    ],
    ..Kind::of(Names {
        group: "networking.k8s.io",
        version: "v1",
        kind: "NetworkPolicy",
        plural: "networkpolicies",
        singular: "networkpolicy",
        short: &["netpol"],
        categories: &[],
        namespaced: true,
        verbs: OBJECT_VERBS,
        storage: "networkpolicies",
        schema: "io.k8s.api.networking.v1.NetworkPolicy",
    })
};

fn default(policy: &mut NetworkPolicy) {
    let spec = policy.spec.get_or_insert_default();
    let ingress = spec.ingress.iter_mut().flatten().flat_map(|rule| rule.ports.iter_mut().flatten());
    let egress = spec.egress.iter_mut().flatten().flat_map(|rule| rule.ports.iter_mut().flatten());
    for port in ingress.chain(egress) {
        port.protocol.get_or_insert_with(|| "TCP".into());
    }
    if spec.policy_types.as_ref().is_none_or(Vec::is_empty) {
        let egress = spec.egress.as_ref().is_some_and(|rules| !rules.is_empty());
        let types = if egress { &["Ingress", "Egress"][..] } else { &["Ingress"] };
        spec.policy_types = Some(types.iter().map(|name| name.to_string()).collect());
    }
}

fn validate(spec: &NetworkPolicySpec, errors: &mut Errors) {
    label_selector(errors, "podSelector", spec.pod_selector.as_ref());
    errors.each("ingress", spec.ingress.iter().flatten(), |errors, rule| {
        errors.each("ports", rule.ports.iter().flatten(), |errors, port| validate_port(port, errors));
        errors.each("from", rule.from.iter().flatten(), |errors, peer| validate_peer(peer, errors));
    });
    errors.each("egress", spec.egress.iter().flatten(), |errors, rule| {
        errors.each("ports", rule.ports.iter().flatten(), |errors, port| validate_port(port, errors));
        errors.each("to", rule.to.iter().flatten(), |errors, peer| validate_peer(peer, errors));
    });
    let types = spec.policy_types.as_deref().unwrap_or_default();
    if types.len() > 2 {
        return errors.invalid("policyTypes", types, "may not specify more than two policyTypes");
    }
    errors.each("policyTypes", types, |errors, name| {
        if name != "Ingress" && name != "Egress" {
            errors.not_supported("", name, &["Ingress", "Egress"]);
        }
    });
}

fn validate_port(port: &NetworkPolicyPort, errors: &mut Errors) {
    match port.protocol.as_deref() {
        None | Some("TCP" | "UDP" | "SCTP") => {}
        Some(other) => errors.not_supported("protocol", other, &["TCP", "UDP", "SCTP"]),
    }
    match (&port.port, port.end_port) {
        (None, Some(end)) => errors.invalid("endPort", end, "may not be specified when `port` is not specified"),
        (None, None) => {}
        (Some(IntOrString::Int(number)), end) => {
            report(errors, "port", number, content::port_number(i64::from(*number)));
            let Some(end) = end else { return };
            if end < *number {
                errors.invalid("endPort", end, "must be greater than or equal to `port`");
            }
            report(errors, "endPort", end, content::port_number(end.into()));
        }
        (Some(IntOrString::String(name)), end) => {
            if end.is_some() {
                errors.invalid("endPort", end, "may not be specified when `port` is non-numeric");
            }
            report(errors, "port", name, content::port_name(name));
        }
    }
}

fn validate_peer(peer: &NetworkPolicyPeer, errors: &mut Errors) {
    label_selector(errors, "podSelector", peer.pod_selector.as_ref());
    label_selector(errors, "namespaceSelector", peer.namespace_selector.as_ref());
    let selected = peer.pod_selector.is_some() || peer.namespace_selector.is_some();
    match &peer.ip_block {
        Some(block) => errors.at("ipBlock", |errors| validate_block(block, errors)),
        None if !selected => errors.required("", "must specify a peer"),
        None => {}
    }
    if selected && peer.ip_block.is_some() {
        errors.forbidden("", "may not specify both ipBlock and another peer");
    }
}

fn validate_block(block: &IPBlock, errors: &mut Errors) {
    if block.cidr.is_empty() {
        return errors.required("cidr", "");
    }
    let Some(outer) = cidr(errors, "cidr", &block.cidr) else { return };
    errors.each("except", block.except.iter().flatten(), |errors, text| {
        if cidr(errors, "", text).is_some_and(|inner| !is_strict_part(outer, inner)) {
            errors.invalid("", text, "must be a strict subset of `cidr`");
        }
    });
}

#[cfg(test)]
pub const MINIMAL: &str =
    r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"web","namespace":"x"},"spec":{"podSelector":{}}}"#;
