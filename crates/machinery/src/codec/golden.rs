//! The original's golden files, an object of each of 193 kinds: every form into every other, protobuf byte for byte.
use super::*;
use crate::schema::for_gvk;
use std::collections::BTreeMap;
use std::io::Read;

/// Kind file names (`apps.v1.Deployment`) with their three forms.
fn files() -> BTreeMap<String, BTreeMap<String, Vec<u8>>> {
    let packed = include_bytes!("../../testdata/golden.zlib");
    let mut bytes = Vec::new();
    flate2::read::ZlibDecoder::new(packed.as_slice()).read_to_end(&mut bytes).unwrap();
    let mut files: BTreeMap<String, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == 0).unwrap();
        let name = std::str::from_utf8(&rest[..end]).unwrap();
        let size = u32::from_le_bytes(rest[end + 1..end + 5].try_into().unwrap()) as usize;
        let (kind, form) = name.rsplit_once('.').unwrap();
        files.entry(kind.into()).or_default().insert(form.into(), rest[end + 5..end + 5 + size].to_vec());
        rest = &rest[end + 5 + size..];
    }
    files
}

fn message_of(file: &str) -> &'static Message {
    let (rest, kind) = file.rsplit_once('.').unwrap();
    let (group, version) = rest.rsplit_once('.').unwrap();
    let group = if group == "core" { "" } else { group };
    for_gvk(group, version, kind).unwrap_or_else(|| panic!("no message for {file}"))
}

fn decoded(bytes: &[u8], format: Format, message: &Message) -> Result<Value, String> {
    let decoded = decode(bytes, format, message, Validation::Strict).map_err(|error| format!("{format:?}: {error}"))?;
    Ok(decoded.value)
}

fn check(file: &str, forms: &BTreeMap<String, Vec<u8>>) -> Result<(), String> {
    let message = message_of(file);
    let whole: Value = serde_json::from_slice(&forms["json"]).unwrap();
    let mut values =
        vec![("json", decoded(&forms["json"], Format::Json, message)?), ("yaml", decoded(&forms["yaml"], Format::Yaml, message)?)];
    values.push(("pb", decoded(&forms["pb"], Format::Protobuf, message)?));
    for (form, value) in &values {
        if *value != whole {
            return Err(format!("{form} differs: {}", difference(value, &whole, "")));
        }
        let protobuf = protobuf::encode(value, message).ok_or("no protobuf form")?;
        if protobuf != forms["pb"] {
            let again = decoded(&protobuf, Format::Protobuf, message)?;
            return Err(format!("{form} to pb differs: {}", difference(&again, &whole, "")));
        }
        let yaml = decoded(yaml::encode(value).as_bytes(), Format::Yaml, message)?;
        if yaml != whole {
            return Err(format!("{form} to yaml differs: {}", difference(&yaml, &whole, "")));
        }
    }
    Ok(())
}

/// The first place where two values differ.
fn difference(left: &Value, right: &Value, path: &str) -> String {
    match (left, right) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            let found = keys.into_iter().find(|key| a.get(*key) != b.get(*key));
            found.map_or(format!("{path}: nowhere"), |key| match (a.get(key), b.get(key)) {
                (Some(a), Some(b)) => difference(a, b, &format!("{path}.{key}")),
                (a, b) => format!("{path}.{key}: {a:?} against {b:?}"),
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let at = (0..a.len()).find(|at| a[*at] != b[*at]);
            at.map_or(format!("{path}: nowhere"), |at| difference(&a[at], &b[at], &format!("{path}[{at}]")))
        }
        (left, right) => format!("{path}: {left} against {right}"),
    }
}

#[test]
fn every_form_of_every_kind_becomes_every_other() {
    let files = files();
    assert_eq!(files.len(), 193);
    let wrong: Vec<String> =
        files.iter().filter_map(|(file, forms)| check(file, forms).err().map(|error| format!("{file}: {error}"))).collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
