//! `update`: replaces an object, or a part of it through a subresource. Patch and apply go the same way with another first step.
use super::create::{self, Made};
use super::write::{self, Written};
use super::{decode, managed, metadata, storage};
use crate::request::call::{Answer, Call};
use crate::request::query::write_options;
use crate::request::{Attributes, Operation, Options};
use crate::server::flow::authorize;
use http::StatusCode;
use machinery::errors::Errors;
use machinery::object::{AnyObject, Stored};
use machinery::status::{Reason, Status};
use std::sync::Arc;
use store::Expect;

/// A write that loses against others is tried again so many times, unless the client named the version it wants to replace.
const MAX_ATTEMPTS: usize = 16;
const MODIFIED: &str = "the object has been modified; please apply your changes to the latest version and try again";

/// Makes the new object from the one that is there (none: to be created).
pub type Make<'a> = &'a (dyn Fn(Option<&dyn AnyObject>) -> Result<Box<dyn AnyObject>, Status> + Send + Sync);

pub async fn update(call: &Call) -> Answer {
    let options = write_options(&call.query, "UpdateOptions", call.user_agent())?;
    let mut sent = decode::object(call, &options).await?;
    let meta = sent.meta_mut();
    metadata::match_namespace(meta, call.served.kind.names().namespaced, call.namespace())?;
    check_name(meta.name.as_deref().unwrap_or_default(), &call.attributes.name)?;
    metadata::dedup_owners(meta, |text| call.warnings.add(text));
    let make = |old: Option<&dyn AnyObject>| {
        let mut new = sent.boxed_clone();
        if let Some(old) = old {
            check_uid(call, &*new, old)?;
        }
        managed::track(call, &options, old, &mut new)?;
        Ok(new)
    };
    let (made, code) = write(call, &options, &make, false).await?;
    made.answer(call, code)
}

pub fn check_name(own: &str, path: &str) -> Result<(), Status> {
    if own == path {
        return Ok(());
    }
    Err(Status::bad_request(format!("the name of the object ({own}) does not match the name on the URL ({path})")))
}

/// Reads, makes, checks and writes until nobody was faster.
pub async fn write(call: &Call, options: &Options, make: Make<'_>, force_create: bool) -> Result<(Made, StatusCode), Status> {
    let key = call.key();
    for _ in 0..MAX_ATTEMPTS {
        let current = call.state.store().get(&key).await.map_err(storage::failure)?;
        let Some(current) = current else {
            let may = (force_create || call.served.kind.create_on_update()) && call.attributes.subresource.is_empty();
            if !may {
                return Err(call.not_found());
            }
            return create_instead(call, options, make).await;
        };
        if let Some(made) = attempt(call, options, make, &key, &current).await? {
            return Ok((made, StatusCode::OK));
        }
    }
    Err(call.conflict(MODIFIED))
}

async fn create_instead(call: &Call, options: &Options, make: Make<'_>) -> Result<(Made, StatusCode), Status> {
    authorize(&call.state, &Attributes { verb: "create".into(), ..call.attributes.clone() }).await?;
    let object = make(None)?;
    if let Some(uid) = object.meta().uid.as_deref().filter(|uid| !uid.is_empty()) {
        let why = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
        return Err(call.conflict(&why));
    }
    check_name(object.meta().name.as_deref().unwrap_or_default(), &call.attributes.name)?;
    create::created(call, options, object).await.map(|made| (made, StatusCode::CREATED))
}

/// `None`: somebody else wrote in between.
async fn attempt(call: &Call, options: &Options, make: Make<'_>, key: &str, current: &Arc<Stored>) -> Result<Option<Made>, Status> {
    let kind = &call.served.kind;
    let old = call.served.object(current)?;
    let mut new = make(Some(&*old))?;
    metadata::match_namespace(new.meta_mut(), kind.names().namespaced, call.namespace())?;
    let admission = &call.state.config.admission;
    admission.mutate(&call.admission(Operation::Update, Some(&*old), options), &mut new).await?;
    check_version(call, &*new, current.revision)?;
    new.meta_mut().resource_version = Some(current.revision.to_string());
    prepare(call, &mut *new, &*old);
    validate(call, &*new, &*old)?;
    admission.validate(&call.admission(Operation::Update, Some(&*old), options), Some(&*new)).await?;
    if finished(&*new, &*old) {
        return remove(call, options, key, current, new).await;
    }
    if options.dry_run {
        return Ok(Some(Made::DryRun(new)));
    }
    if managed::same_but_times(&*old, &*new) {
        let managed = std::mem::replace(&mut new.meta_mut().managed_fields, old.meta().managed_fields.clone());
        if write::template(call, &mut *new)?.bytes == current.template() {
            return Ok(Some(Made::Stored(current.clone())));
        }
        new.meta_mut().managed_fields = managed;
    }
    let template = write::template(call, &mut *new)?;
    if template.bytes == current.template() {
        return Ok(Some(Made::Stored(current.clone())));
    }
    match write::put(key, call, template, Expect::Revision(current.revision)).await? {
        Written::Done(stored) => Ok(Some(Made::Stored(stored))),
        Written::Lost => Ok(None),
    }
}

pub fn check_uid(call: &Call, new: &dyn AnyObject, old: &dyn AnyObject) -> Result<(), Status> {
    let (new, old) = (new.meta().uid.as_deref().unwrap_or_default(), old.meta().uid.as_deref().unwrap_or_default());
    if new.is_empty() || new == old {
        return Ok(());
    }
    Err(call.conflict(&precondition(&call.key(), "UID", new, old)))
}

/// The original's words for a condition on what is stored that does not hold.
pub fn precondition(key: &str, what: &str, wanted: &str, there: &str) -> String {
    format!(
        "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: \
         {what} in precondition: {wanted}, {what} in object meta: {there}"
    )
}

/// The version that the client wants to replace must be the one that is there.
fn check_version(call: &Call, new: &dyn AnyObject, current: u64) -> Result<(), Status> {
    let kind = &call.served.kind;
    match new.meta().resource_version.as_deref().unwrap_or_default() {
        "" | "0" if kind.unconditional_update() => Ok(()),
        "" | "0" => {
            let mut errors = Errors::default();
            errors.invalid("metadata.resourceVersion", 0, "must be specified for an update");
            errors.into_result(call.group(), call.resource(), &call.attributes.name)
        }
        version => match version.parse::<u64>() {
            Ok(version) if version == current => Ok(()),
            Ok(_) => Err(call.conflict(MODIFIED)),
            Err(_) => Err(Status::new(Reason::Unknown, format!("strconv.ParseUint: parsing \"{version}\": invalid syntax"))),
        },
    }
}

/// Takes back what this request may not change.
fn prepare(call: &Call, new: &mut dyn AnyObject, old: &dyn AnyObject) {
    let kind = &call.served.kind;
    new.meta_mut().generation = old.meta().generation;
    match call.attributes.subresource.as_str() {
        "" | "scale" => kind.on_update(new, old),
        subresource => kind.prepare_subresource(subresource, new, old),
    }
    api::meta::inherit(new.meta_mut(), old.meta());
}

fn validate(call: &Call, new: &dyn AnyObject, old: &dyn AnyObject) -> Result<(), Status> {
    let kind = &call.served.kind;
    let mut errors = Errors::default();
    api::meta::validate_update(new.meta(), old.meta(), kind.names().namespaced, &mut errors);
    match call.attributes.subresource.as_str() {
        "" | "scale" => {
            kind.validate(new, &mut errors);
            kind.validate_update(new, old, &mut errors);
            kind.warnings(new).into_iter().for_each(|text| call.warnings.add(text));
        }
        subresource => kind.validate_subresource(subresource, new, old, &mut errors),
    }
    errors.into_result(kind.names().group, kind.names().kind, &call.attributes.name)
}

/// An object that waits for its deletion goes with its last finalizer.
fn finished(new: &dyn AnyObject, old: &dyn AnyObject) -> bool {
    let waits = old.meta().deletion_timestamp.is_some() && old.meta().deletion_grace_period_seconds.unwrap_or(0) == 0;
    waits && new.meta().finalizers.as_deref().unwrap_or_default().is_empty() && namespace_is_done(new)
}

/// Namespaces have finalizers of their own, in their spec.
fn namespace_is_done(object: &dyn AnyObject) -> bool {
    let namespace = object.downcast_ref::<k8s_openapi::api::core::v1::Namespace>();
    namespace.and_then(|namespace| namespace.spec.as_ref()).is_none_or(|spec| spec.finalizers.as_deref().unwrap_or_default().is_empty())
}

async fn remove(
    call: &Call,
    options: &Options,
    key: &str,
    current: &Arc<Stored>,
    mut new: Box<dyn AnyObject>,
) -> Result<Option<Made>, Status> {
    new.meta_mut().resource_version = Some(current.revision.to_string());
    if options.dry_run {
        return Ok(Some(Made::DryRun(new)));
    }
    match write::remove(key, call, Expect::Revision(current.revision)).await? {
        Written::Done(_) => Ok(Some(Made::DryRun(new))),
        Written::Lost => Ok(None),
    }
}
