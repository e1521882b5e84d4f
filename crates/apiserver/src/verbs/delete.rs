//! `delete`: at once, gracefully, or once the finalizers are done. `deletion` decides, this file carries it out.
use super::create::Made;
use super::deletion::{Plan, plan};
use super::write::{self, Written};
use super::{decode, storage};
use crate::encode;
use crate::encode::media::Media;
use crate::request::call::{Answer, Call};
use crate::request::options::{Deletion, Preconditions};
use crate::request::query::{dry_run, propagation};
use crate::request::{Operation, Options};
use http::StatusCode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::codec::Validation;
use machinery::errors::Errors;
use machinery::kind::DynKind;
use machinery::status::Status;
use serde_json::{Value, json};
use store::Expect;

const MAX_ATTEMPTS: usize = 16;

pub async fn delete(call: &Call) -> Answer {
    let options = options(call).await?;
    warn(call, &options.deletion);
    let gone = deleted(call, &options).await?;
    let code = match options.deletion.orphan_dependents {
        Some(false) if !gone.finished => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    if gone.finished && !returns_object(&*call.served.kind) {
        return encode::object::value(call, code, &success(call, gone.made.meta()));
    }
    gone.made.answer(call, code)
}

/// Kinds whose deletion answers with the object; the others answer with a `Status`. A fact of the original's storage, by resource.
fn returns_object(kind: &dyn DynKind) -> bool {
    const CORE: &[&str] = &[
        "namespaces",
        "persistentvolumeclaims",
        "persistentvolumes",
        "pods",
        "podtemplates",
        "resourcequotas",
        "serviceaccounts",
        "services",
    ];
    let names = kind.names();
    match names.group {
        "" => CORE.contains(&names.plural),
        "resource.k8s.io" => names.plural != "devicetaintrules",
        "storage.k8s.io" => names.plural != "csistoragecapacities",
        _ => false,
    }
}

/// Where custom keeps the dependents, the client is told so unless it chose.
fn warn(call: &Call, wanted: &Deletion) {
    if call.resource() == "jobs" && wanted.propagation.is_none() && wanted.orphan_dependents.is_none() {
        call.warnings.add(
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set \
             propagationPolicy=Orphan to suppress this warning",
        );
    }
}

fn success(call: &Call, meta: ObjectMeta) -> Value {
    let mut details = json!({"name": meta.name, "kind": call.resource(), "uid": meta.uid});
    if !call.group().is_empty() {
        details["group"] = call.group().into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

/// From the body if there is one, otherwise from the query.
pub async fn options(call: &Call) -> Result<Options, Status> {
    let bytes = call.read_body().await?;
    let mut errors = Errors::default();
    let value = match bytes.is_empty() {
        true => from_query(call)?,
        false => {
            let schema = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
            let decoded = decode::read(Media::of_body(call.headers())?, &bytes, schema, Validation::Ignore);
            let value = decoded.map_err(|error| Status::bad_request(error.to_string()))?.value;
            if !matches!(value["kind"].as_str(), None | Some("" | "DeleteOptions")) {
                let (kind, version) = (value["kind"].as_str().unwrap_or_default(), value["apiVersion"].as_str().unwrap_or("v1"));
                let why = format!("no kind \"{kind}\" is registered for version \"{version}\" in scheme \"pkg/runtime/scheme.go:111\"");
                return Err(Status::bad_request(why));
            }
            value
        }
    };
    let texts: Vec<&str> = value["dryRun"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let dry_run = dry_run(texts.into_iter(), &mut errors);
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(String::from);
    let policy = text(&value["propagationPolicy"]);
    let orphan_dependents = value["orphanDependents"].as_bool();
    if let (Some(_), Some(policy)) = (orphan_dependents, &policy) {
        errors.invalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set");
    }
    let propagation = policy.and_then(|text| propagation(&text, &mut errors));
    let conditions = &value["preconditions"];
    let preconditions = Preconditions { uid: text(&conditions["uid"]), resource_version: text(&conditions["resourceVersion"]) };
    errors.into_result("meta.k8s.io", "DeleteOptions", "")?;
    let grace_period_seconds = value["gracePeriodSeconds"].as_i64().map(|seconds| if seconds < 0 { 1 } else { seconds });
    let deletion = Deletion { grace_period_seconds, propagation, orphan_dependents, preconditions };
    Ok(Options { dry_run, deletion, ..Options::default() })
}

fn from_query(call: &Call) -> Result<Value, Status> {
    let query = &call.query;
    let mut value = json!({"dryRun": query.all("dryRun").collect::<Vec<_>>()});
    if let Some(seconds) = query.number("gracePeriodSeconds")? {
        value["gracePeriodSeconds"] = seconds.into();
    }
    if let Some(orphan) = query.flag("orphanDependents") {
        value["orphanDependents"] = orphan.into();
    }
    if let Some(policy) = query.get("propagationPolicy") {
        value["propagationPolicy"] = policy.into();
    }
    Ok(value)
}

/// What a deletion came to: the object is gone, or it waits.
pub struct Gone {
    pub made: Made,
    pub finished: bool,
}

pub async fn deleted(call: &Call, options: &Options) -> Result<Gone, Status> {
    let key = call.key();
    for _ in 0..MAX_ATTEMPTS {
        let current = call.state.store().get(&key).await.map_err(storage::failure)?.ok_or_else(|| call.not_found())?;
        let old = call.served.object(&current)?;
        check_preconditions(call, &options.deletion.preconditions, old.meta())?;
        call.state.config.admission.validate(&call.admission(Operation::Delete, Some(&*old), options), None).await?;
        let now = call.state.config.clock.now();
        let mut object = old.boxed_clone();
        match plan(&*call.served.kind, &mut *object, &options.deletion, now) {
            Plan::Pending => return Ok(Gone { made: Made::Stored(current), finished: false }),
            Plan::Now if options.dry_run => return Ok(Gone { made: Made::DryRun(object), finished: true }),
            Plan::Now => match write::remove(&key, call, Expect::Revision(current.revision)).await? {
                Written::Done(last) => {
                    object.meta_mut().resource_version = Some(last.revision.to_string());
                    return Ok(Gone { made: Made::DryRun(object), finished: true });
                }
                Written::Lost => continue,
            },
            Plan::Mark if options.dry_run => return Ok(Gone { made: Made::DryRun(object), finished: false }),
            Plan::Mark => {
                let template = write::template(call, &mut *object)?;
                if template.bytes == current.template() {
                    return Ok(Gone { made: Made::Stored(current), finished: false });
                }
                if let Written::Done(stored) = write::put(&key, call, template, Expect::Revision(current.revision)).await? {
                    return Ok(Gone { made: Made::Stored(stored), finished: false });
                }
            }
        }
    }
    Err(call.conflict("the object has been modified; please apply your changes to the latest version and try again"))
}

pub fn check_preconditions(call: &Call, wanted: &Preconditions, meta: &ObjectMeta) -> Result<(), Status> {
    let uid = meta.uid.as_deref().unwrap_or_default();
    if let Some(wanted) = wanted.uid.as_deref().filter(|wanted| *wanted != uid) {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(call.group(), call.served.kind.names().kind, &call.attributes.name, &why));
    }
    let version = meta.resource_version.as_deref().unwrap_or_default();
    if let Some(wanted) = wanted.resource_version.as_deref().filter(|wanted| *wanted != version) {
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({version}). The object might have been modified"
        );
        return Err(Status::conflict(call.group(), call.served.kind.names().kind, &call.attributes.name, &why));
    }
    Ok(())
}

impl Made {
    /// The revision it is stored at; of a dry run the one it would replace.
    pub fn revision(&self) -> u64 {
        match self {
            Made::Stored(stored) => stored.revision,
            Made::DryRun(object) => object.meta().resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0),
        }
    }

    fn meta(&self) -> ObjectMeta {
        match self {
            Made::DryRun(object) => object.meta().clone(),
            Made::Stored(stored) => {
                #[derive(serde::Deserialize)]
                struct Meta {
                    metadata: ObjectMeta,
                }
                serde_json::from_slice::<Meta>(&stored.json).map(|meta| meta.metadata).unwrap_or_default()
            }
        }
    }
}
