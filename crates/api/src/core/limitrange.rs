//! LimitRange: defaults and bounds of what single objects may ask for.
use crate::access::{ApiResources, Entries, amount, canonical_resources};
use crate::core::names::core;
use crate::core::resources;
use crate::meta::report;
use k8s_openapi::api::core::v1::{LimitRange, LimitRangeItem};
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::{Kind, Names};
use machinery::quantity::Quantity;
use std::collections::BTreeSet;

const TYPES: &[&str] = &["Pod", "Container", "PersistentVolumeClaim"];

pub static LIMIT_RANGE: Kind<LimitRange> = Kind {
    default: |range| {
        let items = range.spec.iter_mut().flat_map(|spec| &mut spec.limits);
        items.for_each(default_item);
    },
    validate,
    create_on_update: true,
    ..Kind::of(Names {
        short: &["limits"],
        ..core("LimitRange", "limitranges", "limitrange", "limitranges", "io.k8s.api.core.v1.LimitRange")
    })
};

/// For containers, what is left out follows from what is there: limit from max, request from limit, then from min.
fn default_item(item: &mut LimitRangeItem) {
    for list in [&mut item.max, &mut item.min, &mut item.default, &mut item.default_request, &mut item.max_limit_request_ratio] {
        canonical_resources(list);
    }
    if item.type_ != "Container" {
        return;
    }
    let take = |to: &mut ApiResources, from: &Option<ApiResources>| {
        for (name, quantity) in from.entries() {
            to.entry(name.clone()).or_insert_with(|| quantity.clone());
        }
    };
    take(item.default.get_or_insert_default(), &item.max);
    let default = item.default.clone();
    let requests = item.default_request.get_or_insert_default();
    take(requests, &default);
    take(requests, &item.min);
}

fn validate(range: &LimitRange, errors: &mut Errors) {
    let items = range.spec.as_ref().map_or(&[][..], |spec| &spec.limits);
    let mut seen: Vec<&str> = Vec::new();
    errors.each("spec.limits", items, |errors, item| {
        let kind = item.type_.as_str();
        let problems = content::label_key(kind);
        if problems.is_empty() && !kind.contains('/') && !TYPES.contains(&kind) {
            errors.invalid("type", kind, "must be a standard limit type or fully qualified");
        }
        report(errors, "type", kind, problems);
        if seen.contains(&kind) {
            errors.duplicate("type", kind);
        }
        seen.push(kind);
        names(item, errors);
        let lists = [&item.max, &item.min, &item.default, &item.default_request, &item.max_limit_request_ratio];
        let all: BTreeSet<&String> = lists.into_iter().flat_map(|list| list.entries().map(|(name, _)| name)).collect();
        all.into_iter().for_each(|name| bounds(item, name, errors));
    });
}

fn names(item: &LimitRangeItem, errors: &mut Errors) {
    let (pod, compute) = (item.type_ == "Pod", ["Pod", "Container"].contains(&item.type_.as_str()));
    for (field, list) in [
        ("max", &item.max),
        ("min", &item.min),
        ("default", &item.default),
        ("defaultRequest", &item.default_request),
        ("maxLimitRequestRatio", &item.max_limit_request_ratio),
    ] {
        if pod && field.starts_with("default") {
            if list.entries().next().is_some() {
                errors.forbidden(field, "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        for (name, _) in list.entries() {
            errors.key(field, name, |errors| {
                if compute {
                    resources::container_name(errors, name);
                } else {
                    resources::name(errors, name);
                }
            });
        }
    }
    let storage = |list: &Option<ApiResources>| list.as_ref().is_some_and(|list| list.contains_key("storage"));
    if item.type_ == "PersistentVolumeClaim" && !storage(&item.min) && !storage(&item.max) {
        errors.required("limits", "either minimum or maximum storage value is required, but neither was provided");
    }
}

/// Checks that min, default request, default and max of one resource stand in that order.
fn bounds(item: &LimitRangeItem, name: &str, errors: &mut Errors) {
    let of = |list: &Option<ApiResources>| list.as_ref().and_then(|list| list.get(name)).map(amount);
    let (min, max, ratio) = (of(&item.min), of(&item.max), of(&item.max_limit_request_ratio));
    let (default, request) = if item.type_ == "Pod" { (None, None) } else { (of(&item.default), of(&item.default_request)) };
    let order = |errors: &mut Errors, field: &str, shown: &Quantity, low: (&str, &Option<Quantity>), high: (&str, &Option<Quantity>)| {
        if let (Some(small), Some(large)) = (low.1, high.1)
            && small > large
        {
            let why = format!("{} value {small} is greater than {} value {large}", low.0, high.0);
            errors.key(field, name, |errors| errors.invalid("", shown.to_string(), &why));
        }
    };
    let shown = |value: &Option<Quantity>| value.clone().unwrap_or(Quantity::ZERO);
    order(errors, "min", &shown(&min), ("min", &min), ("max", &max));
    order(errors, "defaultRequest", &shown(&request), ("min", &min), ("default request", &request));
    order(errors, "defaultRequest", &shown(&request), ("default request", &request), ("max", &max));
    order(errors, "defaultRequest", &shown(&request), ("default request", &request), ("default limit", &default));
    order(errors, "default", &shown(&min), ("min", &min), ("default", &default));
    order(errors, "default", &shown(&max), ("default", &default), ("max", &max));
    if let Some(ratio) = &ratio {
        check_ratio(name, ratio, min.as_ref(), max.as_ref(), errors);
    }
    if let (Some(default), Some(request), false) = (&default, &request, resources::is_overcommittable(name))
        && default != request
    {
        let why = format!("default value {default} must equal to defaultRequest value {request} in {name}");
        errors.key("defaultRequest", name, |errors| errors.invalid("", request.to_string(), &why));
    }
}

fn check_ratio(name: &str, ratio: &Quantity, min: Option<&Quantity>, max: Option<&Quantity>, errors: &mut Errors) {
    let refuse = |errors: &mut Errors, why: String| {
        errors.key("maxLimitRequestRatio", name, |errors| errors.invalid("", ratio.to_string(), &why));
    };
    if ratio.milli() < 1000 {
        refuse(errors, format!("ratio {ratio} is less than 1"));
    }
    if let (Some(min), Some(max)) = (min, max) {
        let limit = max.as_f64() / min.as_f64();
        if ratio.as_f64() > limit {
            refuse(errors, format!("ratio {ratio} is greater than max/min = {limit:.6}"));
        }
    }
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"v1","kind":"LimitRange","metadata":{"name":"a","namespace":"x"},"spec":{"limits":[
    {"type":"Container","max":{"cpu":"2"}}]}}"#;
