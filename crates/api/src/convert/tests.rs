use crate::registry;
use serde_json::{Value, json};

fn there_and_back(plural: &str, from: (&str, &str), to: (&str, &str), value: Value) -> Value {
    let kind = |(group, version): (&str, &str)| registry().by_resource(group, version, plural).unwrap().kind.names();
    let there = super::convert(value.clone(), kind(from), kind(to));
    assert_eq!(super::convert(there.clone(), kind(to), kind(from)), value);
    there
}

#[test]
fn events_under_both_names() {
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"}, "involvedObject": {"name": "p"}, "message": "m",
        "source": {"component": "c"}, "count": 3, "reportingComponent": "", "eventTime": null});
    let there = there_and_back("events", ("", "v1"), ("events.k8s.io", "v1"), event);
    assert_eq!(there["regarding"]["name"], "p");
    assert_eq!(there["apiVersion"], "events.k8s.io/v1");
    assert_eq!(there["deprecatedCount"], 3);
}

#[test]
fn autoscalers_keep_in_annotations_what_v1_cannot_say() {
    let hpa = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"}, "spec": {
        "maxReplicas": 3,
        "metrics": [
            {"type": "Pods", "pods": {"metric": {"name": "m", "selector": {"matchLabels": {"a": "b"}}}, "target": {"type": "AverageValue", "averageValue": "3"}}},
            {"type": "Object", "object": {"metric": {"name": "o"}, "describedObject": {"kind": "Service", "name": "s"}, "target": {"type": "Value", "value": "3"}}},
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}],
        "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 5}]}}},
        "status": {"currentReplicas": 1, "conditions": [{"type": "AbleToScale", "status": "True"}]}});
    let there = there_and_back("horizontalpodautoscalers", ("autoscaling", "v2"), ("autoscaling", "v1"), hpa);
    assert_eq!(there["spec"], json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 50}));
    let behavior = there["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/behavior"].as_str().unwrap();
    assert!(behavior.contains("\"ScaleUp\""), "{behavior}");
}

#[test]
fn device_requests_of_the_first_beta() {
    let claim = json!({"apiVersion": "resource.k8s.io/v1beta1", "kind": "ResourceClaim", "metadata": {"name": "a"},
        "spec": {"devices": {"requests": [{"name": "r", "deviceClassName": "c", "count": 2}]}}});
    let there = there_and_back("resourceclaims", ("resource.k8s.io", "v1beta1"), ("resource.k8s.io", "v1"), claim);
    assert_eq!(there["spec"]["devices"]["requests"][0], json!({"name": "r", "exactly": {"deviceClassName": "c", "count": 2}}));
    let slice = json!({"apiVersion": "resource.k8s.io/v1beta1", "kind": "ResourceSlice", "metadata": {"name": "a"},
        "spec": {"devices": [{"name": "d", "basic": {"attributes": {"a": {"int": 1}}}}]}});
    let there = there_and_back("resourceslices", ("resource.k8s.io", "v1beta1"), ("resource.k8s.io", "v1"), slice);
    assert_eq!(there["spec"]["devices"][0], json!({"name": "d", "attributes": {"a": {"int": 1}}}));
}
