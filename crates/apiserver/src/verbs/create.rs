//! `create`, also as update and apply use it for objects that do not exist yet.
use super::write::{self, Written};
use super::{decode, managed, metadata};
use crate::encode;
use crate::request::call::{Answer, Call};
use crate::request::query::write_options;
use crate::request::{Operation, Options};
use http::StatusCode;
use machinery::errors::Errors;
use machinery::object::{AnyObject, Stored};
use machinery::status::{Details, Reason, Status};
use std::sync::Arc;
use store::Expect;

/// Generated names that are taken are generated anew so many times.
const MAX_NAME_ATTEMPTS: usize = 8;

pub async fn create(call: &Call) -> Answer {
    let options = write_options(&call.query, "CreateOptions", call.user_agent())?;
    let mut object = decode::object(call, &options).await?;
    if object.meta().resource_version.as_deref().is_some_and(|version| !matches!(version, "" | "0")) {
        return Err(Status::new(Reason::Unknown, "resourceVersion should not be set on objects to be created"));
    }
    object.meta_mut().deletion_timestamp = None;
    object.meta_mut().deletion_grace_period_seconds = None;
    managed::track(call, &options, None, &mut object)?;
    created(call, &options, object).await?.answer(call, StatusCode::CREATED)
}

/// What a write made: stored, or only what it would be.
pub enum Made {
    Stored(Arc<Stored>),
    DryRun(Box<dyn AnyObject>),
}

impl Made {
    pub fn answer(self, call: &Call, code: StatusCode) -> Answer {
        match self {
            Made::Stored(stored) => encode::object::stored(call, code, &stored),
            Made::DryRun(object) => encode::object::unstored(call, code, &*object),
        }
    }
}

/// Everything between the decoded object, its managed fields set, and the stored one.
pub async fn created(call: &Call, options: &Options, object: Box<dyn AnyObject>) -> Result<Made, Status> {
    for _ in 1..MAX_NAME_ATTEMPTS {
        match attempt(call, options, object.boxed_clone()).await {
            Err(status) if status.is(Reason::AlreadyExists) && is_generated(&*object) => {}
            result => return result,
        }
    }
    attempt(call, options, object).await.map_err(|status| {
        let details = Details { retry_after_seconds: 1, ..status.details.as_deref().cloned().unwrap_or_default() };
        let message = format!("{}, the server was not able to generate a unique name for the object", status.message);
        if status.is(Reason::AlreadyExists) { Status::new(Reason::AlreadyExists, message).with(details) } else { status }
    })
}

fn is_generated(object: &dyn AnyObject) -> bool {
    let empty = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
    empty(&object.meta().name) && !empty(&object.meta().generate_name)
}

async fn attempt(call: &Call, options: &Options, mut object: Box<dyn AnyObject>) -> Result<Made, Status> {
    let kind = &call.served.kind;
    let config = &call.state.config;
    metadata::match_namespace(object.meta_mut(), kind.names().namespaced, call.namespace())?;
    if is_generated(&*object) {
        let prefix = object.meta().generate_name.clone().unwrap_or_default();
        object.meta_mut().name = Some(metadata::generated_name(&prefix, &config.random));
    }
    metadata::initialize(object.meta_mut(), &config.clock, &config.random);
    object.meta_mut().resource_version = None;
    metadata::dedup_owners(object.meta_mut(), |text| call.warnings.add(text));
    let named = call.named(&*object);
    config.admission.mutate(&named.admission(Operation::Create, None, options), &mut object).await?;
    metadata::match_namespace(object.meta_mut(), kind.names().namespaced, call.namespace())?;
    kind.on_create(&mut *object);
    let mut errors = Errors::default();
    api::meta::validate(object.meta(), kind.names().namespaced, kind.name_rule(), &mut errors);
    kind.validate(&*object, &mut errors);
    let name = object.meta().name.clone().unwrap_or_default();
    errors.into_result(kind.names().group, kind.names().kind, &name)?;
    kind.warnings(&*object).into_iter().for_each(|text| call.warnings.add(text));
    config.admission.validate(&named.admission(Operation::Create, None, options), Some(&*object)).await?;
    if options.dry_run {
        let there = call.state.store().get(&named.key()).await.map_err(super::storage::failure)?;
        return if there.is_some() { Err(named.exists()) } else { Ok(Made::DryRun(object)) };
    }
    let template = write::template(call, &mut *object)?;
    match write::put(&named.key(), call, template, Expect::Absent).await? {
        Written::Done(stored) => Ok(Made::Stored(stored)),
        Written::Lost => Err(named.exists()),
    }
}
