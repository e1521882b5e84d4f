//! Keeps `metadata.managedFields`: who owns which fields. The rules are `machinery::apply`'s; this file gives them the object.
use super::decode;
use crate::request::Options;
use crate::request::call::Call;
use machinery::apply::{self, Write};
use machinery::object::AnyObject;
use machinery::schema;
use machinery::status::Status;
use serde_json::Value;

/// After a write that is not an apply: the manager owns what it changed.
pub fn track(call: &Call, options: &Options, old: Option<&dyn AnyObject>, new: &mut Box<dyn AnyObject>) -> Result<(), Status> {
    let live = old.map(|old| old.to_value());
    let mut value = new.to_value();
    let managed = with_write(call, options, |write| apply::track_update(write, live.as_ref(), &mut value));
    new.meta_mut().managed_fields = match managed {
        Value::Null => None,
        entries => Some(serde_json::from_value(entries).map_err(Status::internal)?),
    };
    Ok(())
}

/// Server-side apply of `body` onto `old`; gives the whole new object with its managed fields.
pub fn apply(call: &Call, options: &Options, old: Option<&dyn AnyObject>, body: Value) -> Result<Box<dyn AnyObject>, Status> {
    let names = call.served.kind.names();
    let live = old.map(|old| old.to_value());
    let value = with_write(call, options, |write| apply::apply(write, live.as_ref(), &body, options.force == Some(true)))?;
    let (value, _) = decode::prune(&value, names.schema).map_err(|error| error.into_status(names.kind, names.version, &[]))?;
    decode::typed(&call.served, value)
}

fn with_write<R>(call: &Call, options: &Options, work: impl FnOnce(&Write) -> R) -> R {
    let names = call.served.kind.names();
    let subresource = call.attributes.subresource.as_str();
    let reset = api::reset_fields(names.group, names.plural, subresource, call.served.subresource("status").is_some());
    let api_version = names.api_version();
    work(&Write {
        schema: schema::lookup(names.schema),
        api_version: &api_version,
        kind: names.kind,
        subresource: &call.attributes.subresource,
        manager: &options.field_manager,
        now: call.state.config.clock.now(),
        reset,
    })
}

/// Whether two states' managed fields differ in times only. Then a write that changes nothing else is none.
pub fn same_but_times(old: &dyn AnyObject, new: &dyn AnyObject) -> bool {
    let (old, new) = (&old.meta().managed_fields, &new.meta().managed_fields);
    let value = |entries| serde_json::to_value(entries).unwrap_or_default();
    old != new && apply::same_but_times(&value(old), &value(new))
}
