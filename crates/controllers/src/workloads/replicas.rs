//! Keeping a number of equal pods: what ReplicaSets and ReplicationControllers have in common.
use crate::driver::{Deletion, Outcome, Plan};
use crate::objects::owners::{claim, controller};
use crate::objects::selectors::Selector;
use crate::objects::{is_deleting, labels, pods};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use machinery::object::Resource;
use std::collections::HashMap;
use std::sync::Arc;

/// So many pods are created or deleted in one plan at most: one mistaken set cannot flood the cluster.
const BURST: usize = 500;

/// What a set asks for.
pub struct Wish<'a, O> {
    pub owner: &'a O,
    pub selector: Selector,
    pub template: &'a PodTemplateSpec,
    pub replicas: i32,
    pub min_ready_seconds: i32,
}

/// What a set has.
#[derive(Debug, Default, PartialEq)]
pub struct Counts {
    pub replicas: i32,
    pub fully_labeled: i32,
    pub ready: i32,
    pub available: i32,
    pub terminating: i32,
}

/// Claims, creates and gives up pods. `candidates` are those the owner controls or could adopt, `related` the pods of sets
/// with the same owner: of those doubled up on a node, one goes first.
pub fn keep<O: Resource>(plan: &mut Plan, wish: &Wish<O>, candidates: &[Arc<Pod>], related: &[Arc<Pod>], now: Timestamp) -> Counts {
    let live: Vec<Arc<Pod>> = candidates.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
    let own = claim(plan, wish.owner, &wish.selector, &live);
    let counts = count(wish, &own, candidates, now);
    if !is_deleting(wish.owner.metadata()) {
        let wanted = wish.replicas.max(0) as usize;
        match wanted.checked_sub(own.len()) {
            Some(missing) => (0..missing.min(BURST)).for_each(|_| create(plan, wish)),
            None => give_up(plan, wish, &own, related, wanted, now),
        }
    }
    let own = own.iter().map(|pod| &**pod);
    plan.wake_if(pods::next_available(own, wish.min_ready_seconds, now));
    counts
}

fn create<O: Resource>(plan: &mut Plan, wish: &Wish<O>) {
    let pod = pods::from_template(wish.template, wish.owner.metadata(), controller(wish.owner));
    plan.create_telling(pod, Some(created(wish.owner)));
}

/// What the user is told of a pod's creation.
pub fn created<O: Resource>(owner: &O) -> Outcome {
    Outcome::new(owner, ("SuccessfulCreate", "Created pod: {}"), ("FailedCreate", "Error creating: {}"))
}

/// What the user is told of a pod's deletion.
pub fn deleted<O: Resource>(owner: &O) -> Outcome {
    Outcome::new(owner, ("SuccessfulDelete", "Deleted pod: {}"), ("FailedDelete", "Error deleting: {}"))
}

fn give_up<O: Resource>(plan: &mut Plan, wish: &Wish<O>, own: &[Arc<Pod>], related: &[Arc<Pod>], wanted: usize, now: Timestamp) {
    let mut on_node: HashMap<&str, usize> = HashMap::new();
    for pod in related.iter().filter(|pod| pods::is_active(pod)) {
        *on_node.entry(pods::node(pod)).or_default() += 1;
    }
    let rank = |pod: &Pod| on_node.get(pods::node(pod)).copied().unwrap_or(0);
    let mut order: Vec<&Arc<Pod>> = own.iter().collect();
    order.sort_by(|a, b| pods::give_up_first((a, rank(a)), (b, rank(b)), now));
    for pod in order.into_iter().take((own.len() - wanted).min(BURST)) {
        plan.delete_telling(&**pod, Deletion::default(), Some(deleted(wish.owner)));
    }
}

fn count<O: Resource>(wish: &Wish<O>, own: &[Arc<Pod>], candidates: &[Arc<Pod>], now: Timestamp) -> Counts {
    let number = |of: &dyn Fn(&Pod) -> bool| own.iter().filter(|pod| of(pod)).count() as i32;
    let template = wish.template.metadata.as_ref().and_then(|meta| meta.labels.as_ref());
    let full = Selector::equal(template.into_iter().flatten());
    let terminating = candidates.iter().filter(|pod| {
        let controlled = crate::objects::owners::is_controlled_by(&pod.metadata, wish.owner.metadata());
        pods::is_terminating(pod) && controlled && wish.selector.selects(labels(&pod.metadata))
    });
    Counts {
        replicas: own.len() as i32,
        fully_labeled: number(&|pod| full.meets(labels(&pod.metadata))),
        ready: number(&pods::is_ready),
        available: number(&|pod| pods::is_available(pod, wish.min_ready_seconds, now)),
        terminating: terminating.count() as i32,
    }
}
