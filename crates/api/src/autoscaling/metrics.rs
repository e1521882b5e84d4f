//! What an autoscaler looks at: checks of its metrics, and how they are shown.
use super::v2::validate_reference;
use crate::meta::report;
use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricSource, ExternalMetricSource, MetricIdentifier, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus,
    ObjectMetricSource, PodsMetricSource, ResourceMetricSource,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use machinery::content;
use machinery::errors::Errors;
use machinery::quantity::Quantity;

const TYPES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];
const SHOWN: usize = 2;

pub fn validate(metric: &MetricSpec, errors: &mut Errors) {
    if metric.type_.is_empty() {
        errors.required("type", "must specify a metric source type");
    }
    if !TYPES.contains(&metric.type_.as_str()) {
        errors.not_supported("type", &metric.type_, TYPES);
    }
    let present = [
        ("object", metric.object.is_some()),
        ("external", metric.external.is_some()),
        ("pods", metric.pods.is_some()),
        ("resource", metric.resource.is_some()),
        ("containerResource", metric.container_resource.is_some()),
    ];
    let first = present.iter().find(|(_, there)| *there).map_or("", |(field, _)| field);
    errors.at(first, |errors| validate_source(metric, first, errors));
    let mut expected = metric.type_.clone();
    if let Some(first) = expected.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    if present.contains(&(expected.as_str(), false)) {
        errors.required(&expected, "must populate information for the given metric source");
    }
    let count = present.iter().filter(|(_, there)| *there).count();
    for (field, _) in present.iter().filter(|(field, there)| *there && count != 1 && *field != expected) {
        errors.forbidden(field, "must populate the given metric source only");
    }
}

fn validate_source(metric: &MetricSpec, field: &str, errors: &mut Errors) {
    match (field, metric) {
        ("object", MetricSpec { object: Some(source), .. }) => object(source, errors),
        ("external", MetricSpec { external: Some(source), .. }) => external(source, errors),
        ("pods", MetricSpec { pods: Some(source), .. }) => pods(source, errors),
        ("resource", MetricSpec { resource: Some(source), .. }) => resource(source, errors),
        ("containerResource", MetricSpec { container_resource: Some(source), .. }) => container_resource(source, errors),
        _ => {}
    }
}

fn object(source: &ObjectMetricSource, errors: &mut Errors) {
    errors.at("describedObject", |errors| validate_reference(&source.described_object, errors));
    identifier(&source.metric, errors);
    target(&source.target, errors);
    if source.target.value.is_none() && source.target.average_value.is_none() {
        errors.required("target.averageValue", "must set either a target value or averageValue");
    }
}

fn external(source: &ExternalMetricSource, errors: &mut Errors) {
    identifier(&source.metric, errors);
    target(&source.target, errors);
    match (&source.target.value, &source.target.average_value) {
        (None, None) => errors.required("target.averageValue", "must set either a target value for metric or a per-pod target"),
        (Some(_), Some(_)) => errors.forbidden("target.value", "may not set both a target value for metric and a per-pod target"),
        _ => {}
    }
}

fn pods(source: &PodsMetricSource, errors: &mut Errors) {
    identifier(&source.metric, errors);
    target(&source.target, errors);
    if source.target.average_value.is_none() {
        errors.required("target.averageValue", "must specify a positive target averageValue");
    }
}

fn resource(source: &ResourceMetricSource, errors: &mut Errors) {
    if source.name.is_empty() {
        errors.required("name", "must specify a resource name");
    }
    resource_target(&source.target, errors);
}

fn container_resource(source: &ContainerResourceMetricSource, errors: &mut Errors) {
    if source.name.is_empty() {
        errors.required("name", "must specify a resource name");
    }
    match source.container.as_str() {
        "" => errors.required("container", "must specify a container"),
        container => report(errors, "container", container, content::dns_label(container)),
    }
    resource_target(&source.target, errors);
}

fn resource_target(wanted: &MetricTarget, errors: &mut Errors) {
    target(wanted, errors);
    match (wanted.average_utilization, &wanted.average_value) {
        (None, None) => errors.required("target.averageUtilization", "must set either a target raw value or a target utilization"),
        (Some(_), Some(_)) => errors.forbidden("target.averageValue", "may not set both a target raw value and a target utilization"),
        _ => {}
    }
}

fn target(target: &MetricTarget, errors: &mut Errors) {
    errors.at("target", |errors| {
        if target.type_.is_empty() {
            errors.required("type", "must specify a metric target type");
        }
        if !["Utilization", "Value", "AverageValue"].contains(&target.type_.as_str()) {
            errors.invalid("type", &target.type_, "must be either Utilization, Value, or AverageValue");
        }
        for (field, amount) in [("value", &target.value), ("averageValue", &target.average_value)] {
            if amount.as_ref().is_some_and(|amount| Quantity::parse(&amount.0).is_ok_and(|amount| amount.sign() < 1)) {
                errors.invalid(field, amount, "must be positive");
            }
        }
        if target.average_utilization.is_some_and(|percent| percent < 1) {
            errors.invalid("averageUtilization", target.average_utilization, "must be greater than 0");
        }
    });
}

fn identifier(metric: &MetricIdentifier, errors: &mut Errors) {
    match metric.name.as_str() {
        "" => errors.required("metric.name", "must specify a metric name"),
        name => report(errors, "metric.name", name, content::path_segment(name)),
    }
}

/// `cpu: 12%/80%, 5/10 + 1 more...`
pub fn shown(wanted: &[MetricSpec], measured: &[MetricStatus]) -> String {
    if wanted.is_empty() {
        return "<none>".into();
    }
    let each = wanted.iter().enumerate().take(SHOWN).map(|(index, metric)| one(metric, measured.get(index)));
    let text = each.collect::<Vec<_>>().join(", ");
    if wanted.len() > SHOWN { format!("{text} + {} more...", wanted.len() - SHOWN) } else { text }
}

fn one(metric: &MetricSpec, measured: Option<&MetricStatus>) -> String {
    match metric {
        MetricSpec { external: Some(source), .. } if metric.type_ == "External" => {
            values(&source.target, measured.and_then(|status| status.external.as_ref()).map(|status| &status.current))
        }
        MetricSpec { object: Some(source), .. } if metric.type_ == "Object" => {
            values(&source.target, measured.and_then(|status| status.object.as_ref()).map(|status| &status.current))
        }
        MetricSpec { pods: Some(source), .. } if metric.type_ == "Pods" => {
            let current = measured.and_then(|status| status.pods.as_ref()).map(|status| &status.current);
            format!(
                "{}/{}",
                amount(current.and_then(|current| current.average_value.as_ref())),
                amount(source.target.average_value.as_ref())
            )
        }
        MetricSpec { resource: Some(source), .. } if metric.type_ == "Resource" => {
            let current = measured.and_then(|status| status.resource.as_ref()).map(|status| &status.current);
            format!("{}: {}", source.name, usage(&source.target, current))
        }
        MetricSpec { container_resource: Some(source), .. } if metric.type_ == "ContainerResource" => {
            let current = measured.and_then(|status| status.container_resource.as_ref()).map(|status| &status.current);
            format!("{}: {}", source.name, usage(&source.target, current))
        }
        _ => "<unknown type>".into(),
    }
}

fn amount(value: Option<&ApiQuantity>) -> String {
    value.map_or_else(|| "<unknown>".into(), |value| value.0.clone())
}

fn values(target: &MetricTarget, current: Option<&MetricValueStatus>) -> String {
    match &target.average_value {
        Some(average) => format!("{}/{} (avg)", amount(current.and_then(|current| current.average_value.as_ref())), average.0),
        None => format!("{}/{}", amount(current.and_then(|current| current.value.as_ref())), amount(target.value.as_ref())),
    }
}

fn usage(target: &MetricTarget, current: Option<&MetricValueStatus>) -> String {
    if let Some(average) = &target.average_value {
        return format!("{}/{}", amount(current.and_then(|current| current.average_value.as_ref())), average.0);
    }
    let percent = |value: Option<i32>, unset: &str| value.map_or_else(|| unset.into(), |value| format!("{value}%"));
    let current = current.and_then(|current| current.average_utilization);
    format!("{}/{}", percent(current, "<unknown>"), percent(target.average_utilization, "<auto>"))
}
