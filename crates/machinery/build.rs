//! Takes the documentation of API fields out of the `k8s-openapi` crate's source, so that `explain` can show it and no prose is kept
//! here. Without that source the descriptions are empty and a warning says so; nothing else depends on them.
use flate2::{Compression, write::ZlibEncoder};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const API_DIR: &str = "src/v1_37";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../Cargo.lock");
    let mut text = String::new();
    match source() {
        Some(dir) => walk(&dir.join(API_DIR), &mut text),
        None => println!("cargo::warning=the source of k8s-openapi was not found: API fields will have no descriptions"),
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("descriptions.zlib");
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).expect("memory takes it");
    std::fs::write(out, encoder.finish().expect("memory takes it")).expect("OUT_DIR is writable");
}

/// Where cargo keeps the crate.
fn source() -> Option<PathBuf> {
    let output = Command::new(std::env::var_os("CARGO")?).args(["metadata", "--format-version", "1", "--offline"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let at = text.find("/k8s-openapi-0.").or_else(|| text.find("/k8s-openapi/Cargo.toml"))?;
    let start = text[..at].rfind('"')? + 1;
    let manifest = &text[start..start + text[start..].find('"')?];
    let dir = Path::new(manifest).ancestors().find(|dir| dir.join(API_DIR).is_dir())?;
    Some(dir.to_path_buf())
}

fn walk(dir: &Path, out: &mut String) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(&path, out);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            file(&text, out);
        }
    }
}

/// One file holds one definition: `M name doc`, then `F json-name doc` per field.
fn file(text: &str, out: &mut String) {
    let Some(name) = text.strip_prefix("// Generated from definition ").and_then(|rest| rest.lines().next()) else { return };
    let json_names: HashMap<&str, &str> = text.lines().filter_map(json_name).collect();
    let mut doc: Vec<&str> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim_start();
        if let Some(comment) = trimmed.strip_prefix("///") {
            doc.push(comment.strip_prefix(' ').unwrap_or(comment));
        } else if line.starts_with("pub struct ") || line.starts_with("pub enum ") {
            push(out, "M", name, &doc);
            doc.clear();
        } else if let Some((field, _)) = line.strip_prefix("    pub ").and_then(|field| field.split_once(": ")) {
            let field = field.trim_start_matches("r#").trim_end_matches('_');
            push(out, "F", json_names.get(field).copied().unwrap_or(field), &doc);
            doc.clear();
        } else if line.starts_with("impl") {
            break;
        } else if !trimmed.starts_with("#[") {
            doc.clear();
        }
    }
}

/// `"hostIP" => Field::Key_host_ip,`
fn json_name(line: &str) -> Option<(&str, &str)> {
    let (json, rest) = line.trim_start().strip_prefix('"')?.split_once("\" => Field::Key_")?;
    Some((rest.trim_end_matches(',').trim_end_matches('_'), json))
}

fn push(out: &mut String, kind: &str, name: &str, doc: &[&str]) {
    // Markdown's escapes go; line breaks become one control character.
    let mut text = doc.join("\u{1}");
    for escaped in ["<", ">", "[", "]", "_", "*", "`"] {
        text = text.replace(&format!("\\{escaped}"), escaped);
    }
    out.push_str(&format!("{kind}\t{name}\t{}\n", text.replace('\n', "\u{1}")));
}
