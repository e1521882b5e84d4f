//! Objects by their type: most kinds come typed, those without code of their own as `Dynamic`, which is read and written through
//! its JSON value.
use machinery::object::{AnyObject, Dynamic, Resource};
use machinery::status::Status;
use std::borrow::Cow;

/// The object as a `T`; nothing if it is something else.
pub fn view<T: Resource>(object: &dyn AnyObject) -> Option<Cow<'_, T>> {
    if let Some(typed) = object.downcast_ref::<T>() {
        return Some(Cow::Borrowed(typed));
    }
    object.downcast_ref::<Dynamic>()?;
    serde_json::from_value(object.to_value()).ok().map(Cow::Owned)
}

/// Changes the object as a `T`; nothing happens if it is something else.
pub fn edit<T: Resource>(object: &mut Box<dyn AnyObject>, change: impl FnOnce(&mut T) -> Result<(), Status>) -> Result<(), Status> {
    if let Some(typed) = object.downcast_mut::<T>() {
        return change(typed);
    }
    let Some(dynamic) = object.downcast_ref::<Dynamic>() else { return Ok(()) };
    let Ok(mut typed) = serde_json::from_value::<T>(dynamic.to_value()) else { return Ok(()) };
    change(&mut typed)?;
    let changed = Dynamic::from_value(typed.to_value()).map_err(Status::internal)?;
    *object = Box::new(changed);
    Ok(())
}
