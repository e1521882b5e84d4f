//! `scale`: replicas of any scalable kind, read and written as `autoscaling/v1 Scale`.
use crate::encode;
use crate::request::call::{Answer, Call};
use crate::request::query::write_options;
use crate::server::flow::method_not_allowed;
use crate::verbs::create::Made;
use crate::verbs::decode::{self, Expected};
use crate::verbs::{get, patch, update};
use http::{StatusCode, header};
use machinery::errors::Errors;
use machinery::object::AnyObject;
use machinery::patch::PatchKind;
use machinery::schema;
use machinery::status::Status;
use serde_json::{Value, json};

const EXPECTED: Expected = Expected { group: "autoscaling", version: "v1", kind: "Scale", schema: "io.k8s.api.autoscaling.v1.Scale" };

pub async fn scale(call: &Call) -> Answer {
    match call.attributes.verb.as_str() {
        "get" => {
            let stored = get::current(call).await?;
            encode::object::value(call, StatusCode::OK, &scale_of(call, &*call.served.object(&stored)?)?)
        }
        "update" => {
            let options = write_options(&call.query, "UpdateOptions", call.user_agent())?;
            let sent = decode::body(call, &EXPECTED, options.field_validation).await?;
            update::check_name(sent["metadata"]["name"].as_str().unwrap_or_default(), &call.attributes.name)?;
            write(call, &options, &|_| Ok(sent.clone())).await
        }
        "patch" => patched(call).await,
        _ => Err(method_not_allowed()),
    }
}

async fn patched(call: &Call) -> Answer {
    let content_type = call.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = PatchKind::parse(content_type, true)?;
    let bytes = call.read_body().await?;
    let options_kind = if kind == PatchKind::Apply { "ApplyOptions" } else { "PatchOptions" };
    let options = write_options(&call.query, options_kind, call.user_agent())?;
    let (body, _) = patch::read(kind, &bytes)?;
    // An apply of a scale sets replicas and nothing else: the same as merging it.
    let kind = if kind == PatchKind::Apply { PatchKind::Merge } else { kind };
    let make = |mut scale: Value| {
        machinery::patch::patch(kind, &mut scale, body.clone(), schema::lookup(EXPECTED.schema))?;
        let pruned = decode::prune(&scale, EXPECTED.schema);
        pruned.map(|(scale, _)| scale).map_err(|error| error.into_status(EXPECTED.kind, EXPECTED.version, &[]))
    };
    write(call, &options, &make).await
}

/// `make` turns the scale that is there into the wanted one.
async fn write(call: &Call, options: &crate::request::Options, make: &(dyn Fn(Value) -> Result<Value, Status> + Send + Sync)) -> Answer {
    let kind = &call.served.kind;
    let apply = |old: Option<&dyn AnyObject>| {
        let old = old.ok_or_else(|| call.not_found())?;
        let scale = make(scale_of(call, old)?)?;
        let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
        let mut errors = Errors::default();
        if replicas < 0 {
            errors.invalid("spec.replicas", replicas, "must be greater than or equal to 0");
        }
        errors.into_result("autoscaling", "Scale", &call.attributes.name)?;
        let mut object = old.boxed_clone();
        let text = |field: &str| scale["metadata"][field].as_str().map(String::from);
        let version = text("resourceVersion");
        object.meta_mut().resource_version = version.filter(|version| !version.is_empty());
        if let Some(uid) = text("uid").filter(|uid| !uid.is_empty()) {
            object.meta_mut().uid = Some(uid);
        }
        update::check_uid(call, &*object, old)?;
        kind.set_scale(&mut *object, i32::try_from(replicas).unwrap_or(i32::MAX));
        crate::verbs::managed::track(call, options, Some(old), &mut object)?;
        Ok(object)
    };
    let (made, code) = update::write(call, options, &apply, false).await?;
    let object = match &made {
        Made::Stored(stored) => scale_of(call, &*call.served.object(stored)?)?,
        Made::DryRun(object) => scale_of(call, &**object)?,
    };
    encode::object::value(call, code, &object)
}

fn scale_of(call: &Call, object: &dyn AnyObject) -> Result<Value, Status> {
    let meta = object.meta();
    let (replicas, there, selector) = call.served.kind.scale(object).ok_or_else(|| Status::internal("this kind cannot be scaled"))?;
    let mut status = json!({"replicas": there});
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    let mut spec = json!({});
    if replicas != 0 {
        spec["replicas"] = replicas.into();
    }
    Ok(json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta.name, "namespace": meta.namespace, "uid": meta.uid, "resourceVersion": meta.resource_version,
            "creationTimestamp": meta.creation_timestamp,
        },
        "spec": spec, "status": status,
    }))
}
