//! DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or not reachable, unless it says otherwise.
use super::object::edit;
use super::{Step, about, writes};
use crate::request::AdmissionRequest;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Pod, Toleration};
use machinery::object::AnyObject;
use machinery::status::Status;

const SECONDS: i64 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub struct DefaultTolerationSeconds;

#[async_trait]
impl Step for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        writes(request) && about(request, "", "pods")
    }

    async fn mutate(&self, _: &AdmissionRequest<'_>, object: &mut Box<dyn AnyObject>) -> Result<(), Status> {
        edit::<Pod>(object, |pod| {
            let own = pod.spec.get_or_insert_default().tolerations.get_or_insert_default();
            let missing: Vec<&str> =
                TAINTS.into_iter().filter(|taint| !own.iter().any(|toleration| tolerates(toleration, taint))).collect();
            own.extend(missing.into_iter().map(|taint| Toleration {
                key: Some(taint.into()),
                operator: Some("Exists".into()),
                effect: Some("NoExecute".into()),
                toleration_seconds: Some(SECONDS),
                ..Toleration::default()
            }));
            Ok(())
        })
    }
}

fn tolerates(toleration: &Toleration, taint: &str) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    (key == taint || key.is_empty()) && (effect == "NoExecute" || effect.is_empty())
}
