//! The documents as their readers use them: `explain`, field validation, merge keys.
use super::*;

fn parsed(path: &str) -> Value {
    serde_json::from_slice(&document(path).unwrap()).unwrap()
}

/// Every `$ref` in a value.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| match value {
            Value::String(text) if key == "$ref" => found.push(text),
            value => references(value, found),
        }),
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_document_is_whole() {
    assert_eq!(index()["paths"].as_object().unwrap().len(), document_paths().len());
    let descriptions = Descriptions::load();
    for path in document_paths() {
        let served: Vec<_> = resources().iter().filter(|resource| path_of(resource.group, resource.version) == path).collect();
        let document = v3(&served, &descriptions);
        let mut found = Vec::new();
        references(&document, &mut found);
        for name in found {
            let name = name.strip_prefix("#/components/schemas/").unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{path}: {name}");
        }
    }
    assert!(document("apis/none/v1").is_none());
}

#[test]
fn patch_tells_its_kind_and_field_validation() {
    let document = parsed("apis/apps/v1");
    let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"], json!({ "group": "apps", "version": "v1", "kind": "Deployment" }));
    assert_eq!(patch["operationId"], "patchAppsV1NamespacedDeployment");
    assert!(patch["parameters"].as_array().unwrap().iter().any(|parameter| parameter["name"] == "fieldValidation"));
    let all = &document["paths"]["/apis/apps/v1/deployments"]["get"];
    assert_eq!(all["operationId"], "listAppsV1DeploymentForAllNamespaces");
}

#[test]
fn schemas_carry_markers_and_descriptions() {
    let document = parsed("api/v1");
    let container = &document["components"]["schemas"]["io.k8s.api.core.v1.Container"];
    let ports = &container["properties"]["ports"];
    assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["containerPort", "protocol"]));
    assert_eq!(ports["x-kubernetes-patch-merge-key"], "containerPort");
    assert_eq!(container["required"], json!(["name"]));
    assert!(ports["description"].as_str().is_some_and(|text| text.len() > 40), "{ports}");
    let port = &document["components"]["schemas"]["io.k8s.api.core.v1.ContainerPort"]["properties"];
    assert!(port["hostIP"]["description"].is_string() && port["protocol"]["default"] == "TCP");
    assert_eq!(document["components"]["schemas"]["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"][0]["kind"], "Pod");
}

#[test]
fn v2_has_no_words_of_v3() {
    let text = String::from_utf8(v2()).unwrap();
    for word in ["#/components", "\"oneOf\"", "\"allOf\"", "\"requestBody\""] {
        assert!(!text.contains(word), "{word}");
    }
    let document: Value = serde_json::from_str(&text).unwrap();
    let patch = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
    assert!(patch["parameters"].as_array().unwrap().iter().any(|parameter| parameter["in"] == "body"));
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.iter().all(|name| document["definitions"].get(name.trim_start_matches("#/definitions/")).is_some()));
}
