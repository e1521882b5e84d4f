//! Texts and values at the edges of decoding.
use super::*;
use crate::schema::lookup;
use expect_test::{Expect, expect};

fn pod() -> &'static Message {
    lookup("io.k8s.api.core.v1.Pod").unwrap()
}

/// Value, warnings or error, one under the other.
fn check(body: &str, format: Format, validation: Validation, wanted: Expect) {
    wanted.assert_eq(&match decode(body.as_bytes(), format, pod(), validation) {
        Ok(decoded) => [vec![decoded.value.to_string()], decoded.warnings].concat().join("\n"),
        Err(error) => format!("{error:?}"),
    });
}

#[test]
fn unknown_and_duplicate_fields_are_told_with_their_paths() {
    let body = r#"{"kind":"Pod","apiVersion":"v1","bogus":1,"metadata":{"name":"a","labels":{"x":"1","x":"2"}},
        "spec":{"containers":[{"name":"c","name":"d","imagee":"x"}],"foo":{"bar":[1]}}}"#;
    check(
        body,
        Format::Json,
        Validation::Warn,
        expect![[r#"
        {"apiVersion":"v1","kind":"Pod","metadata":{"labels":{"x":"2"},"name":"a"},"spec":{"containers":[{"name":"d"}]}}
        unknown field "bogus"
        duplicate field "metadata.labels.x"
        duplicate field "spec.containers[0].name"
        unknown field "spec.containers[0].imagee"
        unknown field "spec.foo""#]],
    );
    let error = decode(body.as_bytes(), Format::Json, pod(), Validation::Strict).unwrap_err();
    assert!(error.to_string().starts_with("strict decoding error: unknown field \"bogus\", duplicate field"));
    check(
        body,
        Format::Json,
        Validation::Ignore,
        expect![[r#"{"apiVersion":"v1","kind":"Pod","metadata":{"labels":{"x":"2"},"name":"a"},"spec":{"containers":[{"name":"d"}]}}"#]],
    );
}

#[test]
fn names_are_case_sensitive_and_nothing_stays_of_null_and_zero() {
    let body = r#"{"Kind":"Pod","metadata":{"name":null,"labels":{"a":null},"creationTimestamp":null},
        "spec":{"hostNetwork":false,"nodeName":"","volumes":[],"containers":[null],"priority":0,"terminationGracePeriodSeconds":0}}"#;
    check(
        body,
        Format::Json,
        Validation::Warn,
        expect![[r#"
        {"metadata":{"labels":{"a":""}},"spec":{"containers":[{}],"priority":0,"terminationGracePeriodSeconds":0}}
        unknown field "Kind""#]],
    );
}

#[test]
fn wrong_types_name_struct_field_and_type() {
    let wrong = |body: &str, wanted: Expect| check(body, Format::Json, Validation::Warn, wanted);
    wrong(
        r#"{"spec":{"containers":[{"ports":"x"}]}}"#,
        expect![[
            r#"WrongType("json: cannot unmarshal string into Go struct field Container.spec.containers.ports of type []v1.ContainerPort")"#
        ]],
    );
    wrong(
        r#"{"spec":{"containers":[{"ports":[{"containerPort":"80"}]}]}}"#,
        expect![[
            r#"WrongType("json: cannot unmarshal string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32")"#
        ]],
    );
    wrong(
        r#"{"spec":{"restartPolicy":1}}"#,
        expect![[r#"WrongType("json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy")"#]],
    );
    wrong(
        r#"{"spec":{"priority":3000000000}}"#,
        expect![[r#"WrongType("json: cannot unmarshal number 3000000000 into Go struct field PodSpec.spec.priority of type int32")"#]],
    );
    wrong(
        r#"{"spec":{"priority":1.0}}"#,
        expect![[r#"WrongType("json: cannot unmarshal number 1.0 into Go struct field PodSpec.spec.priority of type int32")"#]],
    );
    wrong(
        r#"{"metadata":{"labels":{"a":1}}}"#,
        expect![[r#"WrongType("json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string")"#]],
    );
    wrong(
        r#"{"spec":{"volumes":[{"emptyDir":1}]}}"#,
        expect![[
            r#"WrongType("json: cannot unmarshal number into Go struct field Volume.spec.volumes.VolumeSource.emptyDir of type v1.EmptyDirVolumeSource")"#
        ]],
    );
    wrong(
        r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"1x"}}}]}}"#,
        expect![[r#"WrongType("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")"#]],
    );
    wrong(
        r#"{"spec":{"containers":[{"livenessProbe":{"httpGet":{"port":true}}}]}}"#,
        expect![[
            r#"WrongType("json: cannot unmarshal bool into Go struct field HTTPGetAction.spec.containers.livenessProbe.ProbeHandler.httpGet.port of type int32")"#
        ]],
    );
    wrong(
        r#"{"metadata":{"creationTimestamp":"soon"}}"#,
        expect![[r#"WrongType("parsing time \"soon\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"soon\" as \"2006\"")"#]],
    );
}

#[test]
fn unreadable_bodies() {
    let bad = |body: &str, wanted: Expect| {
        let error = decode(body.as_bytes(), Format::Json, pod(), Validation::Warn).unwrap_err();
        wanted.assert_eq(&error.into_status("Pod", "v1", body.as_bytes()).message);
    };
    bad(
        "",
        expect![
            "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"
        ],
    );
    bad(
        "{\"kind\":\"Pod\",}",
        expect![[
            r#"the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: invalid character '}' looking for beginning of object key string ({"kind":"Pod",})"#
        ]],
    );
    bad(
        "{\"kind\"",
        expect![[
            r#"the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: unexpected end of JSON input ({"kind")"#
        ]],
    );
    bad(
        "{} x",
        expect![
            "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: invalid character 'x' after top-level value ({} x)"
        ],
    );
    bad(
        "kind: Pod and a long line of words",
        expect![
            "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: invalid character 'k' looking for beginning of value (6b696e643a20506f6420616e642061206c6f6e67206c696e65206f662077 ...)"
        ],
    );
    let deep = "[".repeat(200_000);
    assert!(decode(deep.as_bytes(), Format::Json, pod(), Validation::Warn).unwrap_err().to_string().contains("exceeded max depth"));
    let deep = format!("{{\"unknown\":{deep}");
    assert!(decode(deep.as_bytes(), Format::Json, pod(), Validation::Warn).unwrap_err().to_string().contains("exceeded max depth"));
}

#[test]
fn quantities_and_times_come_back_canonical() {
    let body = r#"{"metadata":{"creationTimestamp":"2026-01-01T01:00:00+01:00"},
        "spec":{"containers":[{"resources":{"limits":{"cpu":1,"memory":"1024Mi","x":"1000m"}}}]}}"#;
    check(
        body,
        Format::Json,
        Validation::Warn,
        expect![[
            r#"{"metadata":{"creationTimestamp":"2026-01-01T00:00:00Z"},"spec":{"containers":[{"resources":{"limits":{"cpu":"1","memory":"1Gi","x":"1"}}}]}}"#
        ]],
    );
}

#[test]
fn yaml_speaks_1_1() {
    let body = "kind: Pod\nmetadata: &m\n  name: a\n  labels: {on: 'yes'}\nspec:\n  hostNetwork: yes\n  priority: 0x10\n  priority: 010\n  nodeSelector:\n    <<: {a: b}\n    date: 2020-01-01\n  extra: *m\n";
    check(
        body,
        Format::Yaml,
        Validation::Warn,
        expect![[r#"
        {"kind":"Pod","metadata":{"labels":{"true":"yes"},"name":"a"},"spec":{"hostNetwork":true,"nodeSelector":{"a":"b","date":"2020-01-01"},"priority":8}}
        yaml: unmarshal errors:
          line 8: key "priority" already set in map
        unknown field "spec.extra""#]],
    );
    let bomb: String = (1..40).fold("a0: &a0 [x,x]\n".into(), |text, i| format!("{text}a{i}: &a{i} [*a{0},*a{0}]\n", i - 1));
    assert!(decode_any(bomb.as_bytes(), Format::Yaml, Validation::Warn).unwrap_err().to_string().contains("excessive aliasing"));
    assert!(decode_any("[".repeat(100_000).as_bytes(), Format::Yaml, Validation::Warn).is_err());
}

#[test]
fn protobuf_that_is_none() {
    let bad = |body: &[u8]| decode(body, Format::Protobuf, pod(), Validation::Warn).unwrap_err().to_string();
    assert_eq!(bad(b""), "empty data");
    assert_eq!(bad(b"k8s\0"), "empty body");
    assert!(bad(b"{}").contains("does not appear to be a protobuf message"));
    assert_eq!(bad(b"k8s\0\x12\xff\x01"), "unexpected EOF");
}

#[test]
fn lists_and_events_are_framed_around_encoded_objects() {
    let item =
        serde_json::json!({ "kind": "Pod", "apiVersion": "v1", "metadata": { "name": "a" }, "spec": { "containers": [{ "name": "c" }] } });
    let items = [protobuf::encode(&item, pod()).unwrap(), protobuf::encode(&item, pod()).unwrap()];
    let raw: Vec<&[u8]> = items.iter().map(|item| protobuf::unwrapped(item).unwrap()).collect();
    let metadata = serde_json::json!({ "resourceVersion": "7", "remainingItemCount": 3 });
    let frame = protobuf::ListFrame::new("v1", "PodList", &metadata, raw.iter().map(|raw| raw.len()));
    let mut bytes = frame.head;
    for raw in &raw {
        bytes.extend(protobuf::list_item(raw.len()));
        bytes.extend_from_slice(raw);
    }
    bytes.extend(frame.tail);
    let whole = serde_json::json!({ "kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": [item.clone(), item.clone()] });
    let list = lookup("io.k8s.api.core.v1.PodList").unwrap();
    assert_eq!(bytes, protobuf::encode(&whole, list).unwrap());

    let event = protobuf::watch_frame("ADDED", &items[0]);
    assert_eq!(u32::from_be_bytes(event[..4].try_into().unwrap()) as usize, event.len() - 4);
    assert_eq!(&event[4..11], b"\x0a\x05ADDED");
    assert!(event.ends_with(&items[0]));
}

#[test]
fn what_is_no_pointer_is_on_the_protobuf_wire_even_when_empty() {
    let port = lookup("io.k8s.api.core.v1.EndpointPort").unwrap();
    let bytes = protobuf::encode(&serde_json::json!({}), port).unwrap();
    // Three strings and a number that are nothing; the application protocol is a pointer and stays away.
    assert_eq!(protobuf::unwrapped(&bytes).unwrap(), b"\x0a\x00\x10\x00\x1a\x00");
}

#[test]
fn mistakes_deep_in_protobuf_do_not_reach_the_stack() {
    let (mut body, raw) = (Vec::new(), lookup("io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent").unwrap());
    for _ in 0..2000 {
        let object: Vec<u8> = [&[0x0a][..], &varint(body.len()), &body].concat();
        let event: Vec<u8> = [&[0x12][..], &varint(object.len()), &object].concat();
        let meta = b"\x0a\x10\x0a\x02v1\x12\x0aWatchEvent";
        body = [&b"k8s\0"[..], meta, &[0x12], &varint(event.len()), &event].concat();
    }
    let error = decode(&body, Format::Protobuf, raw, Validation::Warn).unwrap_err().to_string();
    assert!(error.contains("exceeded max depth"), "{}", &error[error.len().saturating_sub(200)..]);
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
