//! Decides whether a request fits into the quotas of its namespace, and what they hold afterwards. Pure.
use super::evaluator::Evaluator;
use crate::admission::amounts::{Amounts, amounts};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ResourceQuota, ScopedResourceSelectorRequirement};
use machinery::object::AnyObject;
use machinery::quantity::Quantity;

/// What is asked for.
pub struct Ask<'a> {
    pub evaluator: &'a Evaluator,
    pub new: &'a dyn AnyObject,
    pub old: Option<&'a dyn AnyObject>,
    pub now: Timestamp,
    /// Only reported, not asked for: it is counted, never refused.
    pub status_only: bool,
}

/// Why not, in the original's words.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

/// For each quota what is used afterwards, or nothing where it stays as it is.
pub fn check(quotas: &[&ResourceQuota], ask: &Ask) -> Result<Vec<Option<Amounts>>, Refusal> {
    let usage = ask.evaluator.usage(ask.new, ask.now);
    let negative: Vec<&str> = usage.iter().filter(|(_, quantity)| quantity.sign() < 0).map(|(name, _)| name.as_str()).collect();
    if !negative.is_empty() {
        return Err(Refusal(format!("quota usage is negative for resource(s): {}", negative.join(","))));
    }
    for quota in quotas.iter().filter(|quota| matches(quota, ask.evaluator, ask.new)) {
        check_constraints(quota, ask)?;
    }
    quotas.iter().map(|quota| check_one(quota, ask, &usage)).collect()
}

fn check_constraints(quota: &ResourceQuota, ask: &Ask) -> Result<(), Refusal> {
    let name = quota.metadata.name.as_deref().unwrap_or_default();
    let names = ask.evaluator.counted(&hard(quota));
    ask.evaluator.constraints(&names, ask.new).map_err(|why| Refusal(format!("failed quota: {name}: {why}")))?;
    let used = used(quota);
    match names.iter().all(|name| used.contains_key(name)) {
        true => Ok(()),
        false => Err(Refusal(format!("status unknown for quota: {name}, resources: {}", names.join(",")))),
    }
}

fn check_one(quota: &ResourceQuota, ask: &Ask, usage: &Amounts) -> Result<Option<Amounts>, Refusal> {
    if !matches(quota, ask.evaluator, ask.new) {
        return Ok(None);
    }
    let hard = hard(quota);
    let mut asked = usage.clone();
    // What the object had before is counted already, unless it did not fall under this quota then.
    if let Some(old) = ask.old.filter(|old| matches(quota, ask.evaluator, *old)) {
        let before = ask.evaluator.usage(old, ask.now);
        for (name, quantity) in &mut asked {
            if let Some(before) = before.get(name) {
                quantity.sub(before);
            }
        }
    }
    asked.retain(|name, quantity| quantity.sign() > 0 && hard.contains_key(name));
    if asked.is_empty() {
        return Ok(None);
    }
    let used = used(quota);
    let mut after = used.clone();
    for (name, quantity) in &asked {
        after.entry(name.clone()).or_insert(Quantity::ZERO).add(quantity);
    }
    let exceeded: Vec<&String> = asked.keys().filter(|name| after[*name] > hard[*name]).collect();
    if exceeded.is_empty() || ask.status_only {
        return Ok(Some(after));
    }
    let shown = |amounts: &Amounts| {
        let parts = exceeded.iter().filter_map(|name| Some(format!("{name}={}", amounts.get(*name)?)));
        parts.collect::<Vec<_>>().join(",")
    };
    let name = quota.metadata.name.as_deref().unwrap_or_default();
    Err(Refusal(format!("exceeded quota: {name}, requested: {}, used: {}, limited: {}", shown(&asked), shown(&used), shown(&hard))))
}

/// Does the object fall under the quota?
fn matches(quota: &ResourceQuota, evaluator: &Evaluator, object: &dyn AnyObject) -> bool {
    !evaluator.counted(&hard(quota)).is_empty() && selectors(quota).iter().all(|selector| evaluator.in_scope(selector, object))
}

fn hard(quota: &ResourceQuota) -> Amounts {
    quota.status.as_ref().map(|status| amounts(&status.hard)).unwrap_or_default()
}

fn used(quota: &ResourceQuota) -> Amounts {
    quota.status.as_ref().map(|status| amounts(&status.used)).unwrap_or_default()
}

fn selectors(quota: &ResourceQuota) -> Vec<ScopedResourceSelectorRequirement> {
    let Some(spec) = &quota.spec else { return Vec::new() };
    let plain = spec.scopes.iter().flatten().map(|scope| ScopedResourceSelectorRequirement {
        scope_name: scope.clone(),
        operator: "Exists".into(),
        values: None,
    });
    let selected = spec.scope_selector.iter().flat_map(|selector| selector.match_expressions.iter().flatten().cloned());
    plain.chain(selected).collect()
}
