//! ResourceQuota: what a request adds must fit into every quota of its namespace that it falls under; what it takes is written
//! into their status before the object is stored. What is given back, and what failed afterwards, the quota controller counts.
mod check;
mod evaluator;

use super::{Context, Step, refuse, writes};
use crate::own_writes::{decoded, put};
use crate::request::AdmissionRequest;
use async_trait::async_trait;
use check::{Ask, Refusal};
use evaluator::Evaluator;
use k8s_openapi::api::core::v1::ResourceQuota;
use machinery::object::{AnyObject, Stored};
use machinery::status::Status;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use stdx::clock::Clock;
use store::{At, Durability, Error, Expect, Op, Store};

/// Requests of one namespace wait for each other here instead of refusing each other at the store.
const LOCKS: usize = 64;
/// The quota controller may write in between.
const MAX_ATTEMPTS: usize = 10;
const IGNORED: [(&str, &str); 2] = [("", "events"), ("events.k8s.io", "events")];

pub struct ResourceQuotaStep {
    store: Arc<dyn Store>,
    clock: Clock,
    locks: Vec<tokio::sync::Mutex<()>>,
    hasher: RandomState,
}

impl ResourceQuotaStep {
    pub fn new(context: &Context) -> ResourceQuotaStep {
        let locks = (0..LOCKS).map(|_| tokio::sync::Mutex::default()).collect();
        ResourceQuotaStep { store: context.store.clone(), clock: context.clock.clone(), locks, hasher: RandomState::new() }
    }

    fn lock(&self, namespace: &str) -> &tokio::sync::Mutex<()> {
        &self.locks[self.hasher.hash_one(namespace) as usize % LOCKS]
    }

    async fn quotas(&self, namespace: &str) -> Result<Vec<(Arc<Stored>, Arc<ResourceQuota>)>, Status> {
        let page =
            self.store.list(&format!("/registry/resourcequotas/{namespace}/"), None, 0, At::Latest).await.map_err(Status::internal)?;
        page.objects.into_iter().map(|stored| decoded(&stored).map(|quota| (stored, quota))).collect()
    }

    async fn reserve(&self, request: &AdmissionRequest<'_>, object: &dyn AnyObject, evaluator: &Evaluator) -> Result<(), Status> {
        let namespace = &request.attributes.namespace;
        let ask = Ask {
            evaluator,
            new: object,
            old: request.old,
            now: self.clock.now(),
            status_only: request.attributes.subresource == "status",
        };
        for _ in 0..MAX_ATTEMPTS {
            let quotas = self.quotas(namespace).await?;
            let plain: Vec<&ResourceQuota> = quotas.iter().map(|(_, quota)| &**quota).collect();
            let used = check::check(&plain, &ask).map_err(|Refusal(why)| refuse(request, Some(object), why))?;
            let mut ops: Vec<Op> = Vec::new();
            for ((stored, quota), used) in quotas.iter().zip(used) {
                let Some(used) = used else { continue };
                let mut changed = (**quota).clone();
                changed.status.get_or_insert_default().used = Some(super::amounts::to_api(&used));
                ops.push(put(&stored.key, &mut changed, Expect::Revision(stored.revision)));
            }
            if ops.is_empty() || request.dry_run() {
                return Ok(());
            }
            // A lost count is found again by the controller: nobody has to wait for the disk.
            match self.store.txn(ops, Durability::Lazy).await {
                Ok(_) => return Ok(()),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(Status::internal(error)),
            }
        }
        Err(Status::conflict("", "resourcequotas", "", "the quota keeps changing; please try again"))
    }
}

#[async_trait]
impl Step for ResourceQuotaStep {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        let attributes = request.attributes;
        let (group, resource) = (attributes.group.as_str(), attributes.resource.as_str());
        let namespaced = !attributes.namespace.is_empty() && (group, resource) != ("", "namespaces");
        writes(request) && namespaced && !IGNORED.contains(&(group, resource)) && Evaluator::of(group, resource).concerns(request)
    }

    async fn validate(&self, request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>) -> Result<(), Status> {
        let Some(object) = object else { return Ok(()) };
        let attributes = request.attributes;
        let evaluator = Evaluator::of(&attributes.group, &attributes.resource);
        if self.store.count(&format!("/registry/resourcequotas/{}/", attributes.namespace)) == 0 || !evaluator.handles(request, object) {
            return Ok(());
        }
        let _turn = self.lock(&attributes.namespace).lock().await;
        self.reserve(request, object, &evaluator).await
    }
}
