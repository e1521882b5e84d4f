//! Reads Go type declarations, as far as API types use the language: structs with tagged fields, named types, string constants.
use super::Error;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

pub struct Package {
    /// `k8s.io/api/core/v1`.
    pub path: String,
    pub group: String,
    pub types: Vec<Declared>,
    pub constants: Vec<Constant>,
}

pub struct Constant {
    pub name: String,
    pub ty: String,
    /// A quoted text, or the name of another constant.
    pub value: String,
}

pub struct Declared {
    pub name: String,
    pub markers: Vec<String>,
    pub shape: Shape,
    pub imports: Imports,
}

pub enum Shape {
    Struct(Vec<Field>),
    /// `type X Y`: the expression.
    Named(String),
    /// `type X = Y`.
    Alias(String),
}

/// Local package names with their paths.
pub type Imports = Rc<HashMap<String, String>>;

pub struct Field {
    /// The Go name; that of the type when embedded.
    pub name: String,
    pub ty: String,
    /// Name and options of the `json` tag.
    pub json: Vec<String>,
    /// The `protobuf` tag's parts.
    pub protobuf: Vec<String>,
    pub patch_strategy: String,
    pub patch_merge_key: String,
    pub markers: Vec<String>,
}

impl Package {
    pub fn openapi_name(&self) -> String {
        openapi_package(&self.path)
    }

    pub fn version(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    pub fn find(&self, name: &str) -> Option<&Declared> {
        self.types.iter().find(|declared| declared.name == name)
    }
}

/// `k8s.io/api/core/v1` is `io.k8s.api.core.v1` in OpenAPI.
pub fn openapi_package(path: &str) -> String {
    let (host, rest) = path.split_once('/').unwrap_or((path, ""));
    let host: Vec<&str> = host.split('.').rev().collect();
    format!("{}.{}", host.join("."), rest.replace('/', "."))
}

pub fn package(modules: &Path, module: &str, path: &str) -> Result<Package, Error> {
    let dir = modules.join(module).join(path);
    let import_path = format!("{}/{path}", module.split('@').next().unwrap_or(module));
    let mut package = Package { path: import_path, group: String::new(), types: Vec::new(), constants: Vec::new() };
    let mut files: Vec<_> = std::fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?.collect::<Result<_, _>>()?;
    files.sort_by_key(|file| file.file_name());
    for file in files {
        let name = file.file_name().to_string_lossy().into_owned();
        let skipped = ["zz_generated", "generated", "types_swagger"].iter().any(|prefix| name.starts_with(prefix));
        if name.ends_with(".go") && !name.ends_with("_test.go") && !skipped {
            read(&std::fs::read_to_string(file.path())?, &mut package);
        }
    }
    Ok(package)
}

fn read(text: &str, package: &mut Package) {
    let imports = Rc::new(imports(text));
    let mut markers: Vec<String> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        if let Some(marker) = trimmed.strip_prefix("//") {
            markers.extend(marker.trim().strip_prefix('+').map(String::from));
            continue;
        }
        if let Some(group) = trimmed.strip_prefix("const GroupName = ").or_else(|| trimmed.strip_prefix("GroupName = ")) {
            package.group = group.trim_matches('"').into();
        }
        package.constants.extend(constant(trimmed));
        if let Some(declaration) = line.strip_prefix("type ") {
            let (name, rest) = declaration.split_once(' ').unwrap_or((declaration, ""));
            let shape = if rest.starts_with("struct {") || rest.starts_with("struct{}") {
                Shape::Struct(if rest.ends_with('}') { Vec::new() } else { fields(&mut lines) })
            } else {
                let expression = |text: &str| text.split("//").next().unwrap_or_default().trim().to_string();
                match rest.strip_prefix("= ") {
                    Some(rest) => Shape::Alias(expression(rest)),
                    None => Shape::Named(expression(rest)),
                }
            };
            package.types.push(Declared { name: name.into(), markers: std::mem::take(&mut markers), shape, imports: imports.clone() });
        }
        if !trimmed.is_empty() {
            markers.clear();
        }
    }
}

fn imports(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let block = text.split_once("import (").and_then(|(_, rest)| rest.split_once(')')).map(|(block, _)| block).unwrap_or_default();
    let single = text.lines().filter_map(|line| line.strip_prefix("import ")).filter(|line| *line != "(");
    for line in block.lines().map(str::trim).chain(single) {
        let Some((alias, path)) = line.trim_end_matches('"').split_once('"') else { continue };
        let alias = alias.trim();
        let name = if alias.is_empty() { path.rsplit('/').next().unwrap_or_default() } else { alias };
        found.insert(name.to_string(), path.to_string());
    }
    found
}

/// `Name Type = value` or `Name = Type(value)`.
fn constant(line: &str) -> Option<Constant> {
    let (left, right) = line.strip_prefix("const ").unwrap_or(line).split_once('=')?;
    let (left, right): (Vec<&str>, &str) = (left.split_whitespace().collect(), right.trim());
    let made = |name: &str, ty: &str, value: &str| Constant { name: name.into(), ty: ty.into(), value: value.into() };
    match left.as_slice() {
        [name, ty] => Some(made(name, ty, right)),
        [name] => right.split_once('(').and_then(|(ty, value)| Some(made(name, ty, value.split(')').next()?))),
        _ => None,
    }
}

fn fields<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Vec<Field> {
    let mut found = Vec::new();
    let mut markers: Vec<String> = Vec::new();
    for line in lines {
        if line.starts_with('}') {
            break;
        }
        let trimmed = line.trim();
        if let Some(comment) = trimmed.strip_prefix("//") {
            markers.extend(comment.trim().strip_prefix('+').map(String::from));
        } else if !trimmed.is_empty() {
            found.extend(field(trimmed, std::mem::take(&mut markers)));
        }
    }
    found
}

fn field(line: &str, markers: Vec<String>) -> Option<Field> {
    let (left, rest) = line.split_once('`')?;
    let tags = rest.split('`').next()?;
    let mut words = left.split_whitespace();
    let first = words.next()?;
    let (name, ty) = match words.next() {
        Some(ty) => (first.to_string(), ty.to_string()),
        None => (first.rsplit('.').next().unwrap_or(first).trim_start_matches('*').to_string(), first.to_string()),
    };
    let tag = |key: &str| {
        let start = tags.find(&format!("{key}:\""))? + key.len() + 2;
        tags[start..].split('"').next().map(String::from)
    };
    let parts = |text: Option<String>| text.map(|text| text.split(',').map(String::from).collect()).unwrap_or_default();
    let json: Vec<String> = parts(Some(tag("json")?));
    if json[0] == "-" {
        return None;
    }
    Some(Field {
        name,
        ty,
        json,
        protobuf: parts(tag("protobuf")),
        patch_strategy: tag("patchStrategy").unwrap_or_default(),
        patch_merge_key: tag("patchMergeKey").unwrap_or_default(),
        markers,
    })
}
