use super::*;
use crate::registry;
use serde_json::json;

fn service_cidrs() -> &'static dyn DynKind {
    registry().by_resource("networking.k8s.io", "v1", "servicecidrs").unwrap().kind
}

#[test]
fn status_is_written_only_through_its_subresource() {
    let kind = service_cidrs();
    let body = json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "a"},
        "spec": {"cidrs": ["10.0.0.0/24"]}, "status": {"conditions": []}});
    let mut object = kind.decode(body.clone()).unwrap();
    kind.on_create(&mut *object);
    assert_eq!(object.to_value()["status"], json!({}), "what the client sent is gone, the struct itself is always written");
    let mut written = kind.decode(body).unwrap();
    own_mut(&mut *written).rest.insert("spec".into(), json!({}));
    kind.prepare_subresource("status", &mut *written, &*object);
    assert_eq!(written.to_value()["spec"], json!({"cidrs": ["10.0.0.0/24"]}));
    assert_eq!(written.to_value()["status"], json!({"conditions": []}));
}

#[test]
fn the_generation_counts_what_is_wanted() {
    let kind = registry().by_resource("flowcontrol.apiserver.k8s.io", "v1", "flowschemas").unwrap().kind;
    let body = json!({"metadata": {"name": "a"}, "spec": {"matchingPrecedence": 1}});
    let mut old = kind.decode(body).unwrap();
    kind.on_create(&mut *old);
    let mut new = old.boxed_clone();
    kind.on_update(&mut *new, &*old);
    assert_eq!(new.meta().generation, Some(1));
    own_mut(&mut *new).rest["spec"]["matchingPrecedence"] = 2.into();
    kind.on_update(&mut *new, &*old);
    assert_eq!(new.meta().generation, Some(2));
}

#[test]
fn rows_tell_what_is_special() {
    let kind = registry().by_resource("storage.k8s.io", "v1", "csidrivers").unwrap().kind;
    let object =
        kind.decode(json!({"metadata": {"name": "d"}, "spec": {"attachRequired": false, "volumeLifecycleModes": ["Persistent"]}})).unwrap();
    let row = kind.row(&*object, "2026-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(json!(row), json!(["d", false, false, false, "<unset>", false, "Persistent", "<unknown>"]));
    assert_eq!(kind.columns().len(), row.len());
}
