//! The table as a whole, and the corners of it that its readers rely on.
use super::*;

#[test]
fn every_resource_has_its_message() {
    assert_eq!(resources().len(), 100);
    for resource in resources() {
        let message = lookup(resource.schema).unwrap_or_else(|| panic!("{}", resource.schema));
        assert!(message.field("metadata").is_some() && message.field("apiVersion").is_some(), "{}", message.name);
        assert!(std::ptr::eq(for_gvk(resource.group, resource.version, resource.kind).unwrap(), message));
        let list = for_gvk(resource.group, resource.version, &format!("{}List", resource.kind));
        assert_eq!(list.is_some(), resource.verbs.contains(&"list"), "{}", message.name);
        for sub in &resource.subresources {
            assert!(for_gvk(sub.group, sub.version, sub.kind).is_some(), "{}/{}", resource.plural, sub.name);
        }
    }
}

#[test]
fn embedded_structs_lie_flat_in_json_and_nest_in_protobuf() {
    let volume = lookup("io.k8s.api.core.v1.Volume").unwrap();
    assert_eq!(volume.field("emptyDir").unwrap().ty.message().unwrap().name, "io.k8s.api.core.v1.EmptyDirVolumeSource");
    assert!(volume.protobuf_field(2).unwrap().inline);
    assert_eq!(volume.protobuf_fields().count(), 2);
}

#[test]
fn list_types_and_merge_keys() {
    let ports = lookup("io.k8s.api.core.v1.Container").unwrap().field("ports").unwrap();
    assert_eq!((ports.list_type, ports.list_map_keys.as_slice()), (Some(ListType::Map), ["containerPort", "protocol"].as_slice()));
    assert_eq!((ports.patch_merge, ports.patch_merge_key), (true, Some("containerPort")));
    let port = ports.ty.element().unwrap().message().unwrap();
    assert_eq!(port.field("protocol").unwrap().default_value(), Some("TCP".into()));
    assert!(lookup("io.k8s.api.core.v1.SecretKeySelector").unwrap().atomic);
    assert!(lookup("io.k8s.apimachinery.pkg.apis.meta.v1.APIResource").unwrap().field("verbs").unwrap().wrapped);
}

#[test]
fn meta_kinds_answer_everywhere() {
    assert_eq!(for_gvk("apps", "v1", "DeleteOptions").unwrap().go_name, "v1.DeleteOptions");
    assert!(for_gvk("", "v1", "Status").is_some() && for_gvk("meta.k8s.io", "v1", "Table").is_some());
    assert!(for_gvk("apps", "v1", "Pod").is_none());
}

#[test]
fn every_field_is_found_by_its_name() {
    for message in messages() {
        for (position, (name, field)) in message.json_fields().enumerate() {
            let found = message.find(name).unwrap();
            assert!(std::ptr::eq(found.field, field) && found.position == position, "{} {name}", message.name);
        }
        assert!(message.find("no such field").is_none() && message.find("").is_none());
    }
}
