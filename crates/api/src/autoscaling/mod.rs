//! The group autoscaling: its kinds with code of their own.
mod metrics;
pub mod v1;
pub mod v2;

use machinery::kind::DynKind;

pub static KINDS: &[&dyn DynKind] = &[&v2::HORIZONTALPODAUTOSCALER, &v1::HORIZONTALPODAUTOSCALER];

#[cfg(test)]
pub static MINIMAL: &[&str] = &[v2::MINIMAL, v1::MINIMAL];

#[cfg(test)]
mod tests {
    use super::{v1, v2};
    use crate::check::{cells, created, problems};
    use expect_test::expect;
    use serde_json::{Value, json};

    fn with(text: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut object = serde_json::from_str(text).expect("test data is JSON");
        change(&mut object);
        object
    }

    #[test]
    fn defaults_are_the_usual_ones() {
        let object = created(
            &v2::HORIZONTALPODAUTOSCALER,
            with(v2::MINIMAL, |object| object["spec"]["behavior"] = json!({"scaleDown": {"policies": []}})),
        );
        assert_eq!(
            object["spec"]["metrics"],
            json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}])
        );
        assert_eq!(
            object["spec"]["behavior"],
            json!({"scaleDown": {"policies": [], "selectPolicy": "Max"}, "scaleUp": {"selectPolicy": "Max", "stabilizationWindowSeconds": 0,
                "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]}})
        );
        let object = created(&v1::HORIZONTALPODAUTOSCALER, with(v1::MINIMAL, |_| {}));
        assert_eq!((&object["spec"]["minReplicas"], &object["spec"]["targetCPUUtilizationPercentage"]), (&json!(1), &json!(80)));
    }

    #[test]
    fn an_autoscaler_is_checked_and_printed() {
        assert_eq!(problems(&v2::HORIZONTALPODAUTOSCALER, with(v2::MINIMAL, |_| {})), "");
        assert_eq!(problems(&v1::HORIZONTALPODAUTOSCALER, with(v1::MINIMAL, |_| {})), "");
        let object = with(v2::MINIMAL, |object| {
            object["spec"] = json!({"minReplicas": 0, "maxReplicas": 0, "scaleTargetRef": {"kind": "Pod", "name": "a/b"}, "metrics": [
                {"type": "Odd"},
                {"type": "Pods", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 0}}},
                {"type": "Resource", "resource": {"name": "", "target": {"type": "Value", "value": "0"}}}],
                "behavior": {"scaleUp": {"stabilizationWindowSeconds": 9999, "selectPolicy": "Any", "policies": [{"type": "X", "value": 0, "periodSeconds": 2000}]}}});
        });
        expect![[r#"
            spec.maxReplicas: Required value
            spec.scaleTargetRef.name: Invalid value: "a/b": may not contain '/'
            spec.scaleTargetRef.apiVersion: Invalid value: "": apiVersion must specify API group
            spec.metrics[0].type: Unsupported value: "Odd": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"
            spec.metrics[1].resource.target.averageUtilization: Invalid value: 0: must be greater than 0
            spec.metrics[1].pods: Required value: must populate information for the given metric source
            spec.metrics[2].resource.name: Required value: must specify a resource name
            spec.metrics[2].resource.target.value: Invalid value: "0": must be positive
            spec.metrics[2].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization
            spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas
            spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 9999: must be less than or equal to 3600
            spec.behavior.scaleUp.selectPolicy: Unsupported value: "Any": supported values: "Disabled", "Max", "Min"
            spec.behavior.scaleUp.policies[0].type: Unsupported value: "X": supported values: "Percent", "Pods"
            spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero
            spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 2000: must be less than or equal to 1800
        "#]]
        .assert_eq(&problems(&v2::HORIZONTALPODAUTOSCALER, object));
        let object = with(v2::MINIMAL, |object| {
            object["status"] = json!({"currentReplicas": 2, "desiredReplicas": 2,
                "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12, "averageValue": "5m"}}}]});
        });
        assert_eq!(cells(&v2::HORIZONTALPODAUTOSCALER, object), json!(["web", "Deployment/web", "cpu: 12%/80%", "1", 5, 2, "<unknown>"]));
        let printed = cells(&v1::HORIZONTALPODAUTOSCALER, with(v1::MINIMAL, |_| {}));
        assert_eq!(printed, json!(["web", "Deployment/web", "cpu: <unknown>/80%", "1", 5, 0, "<unknown>"]));
    }
}
