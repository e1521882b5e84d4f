//! `deletecollection`: lists with the request's selectors and deletes one by one, each with its own conditions.
use super::delete;
use crate::encode::{self, media::Offer};
use crate::list::{self, options::ListOptions};
use crate::request::Attributes;
use crate::request::call::{Answer, Call};
use http::StatusCode;
use machinery::object::Stored;
use machinery::status::{Reason, Status};
use serde_json::json;

pub async fn delete_collection(call: &Call) -> Answer {
    call.accept(Offer::Objects)?;
    let wanted = ListOptions::parse(call)?;
    let options = delete::options(call).await?;
    let page = list::collect(call, &wanted).await?;
    for stored in &page.objects {
        match delete::deleted(&single(call, stored)?, &options).await {
            Ok(_) => {}
            Err(status) if status.is(Reason::NotFound) => {}
            Err(status) => return Err(status),
        }
    }
    let names = call.served.kind.names();
    let count = page.objects.len();
    tracing::debug!(kind = names.kind, namespace = call.namespace(), count, "collection deleted");
    if call.in_process {
        return encode::object::value(
            call,
            StatusCode::OK,
            &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}),
        );
    }
    list::answer(call, page)
}

/// The request for one object of the collection.
fn single(call: &Call, stored: &Stored) -> Result<Call, Status> {
    let object = call.served.object(stored)?;
    let meta = object.meta();
    let (name, namespace) = (meta.name.clone().unwrap_or_default(), meta.namespace.clone().unwrap_or_default());
    Ok(call.derived(&call.served, Attributes { name, namespace, ..call.attributes.clone() }))
}
