//! The rules of the house that a compiler does not know: which crate may use which, where `unsafe` may stand, and which modules
//! only decide. It reads manifests and sources; it builds and runs nothing.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A crate uses only crates of lower floors. ARCHITECTURE.md says what each is for.
const FLOORS: &[&[&str]] = &[
    &["stdx"],
    &["machinery", "netlink", "stream", "pki"],
    &["api"],
    &["client", "store", "cri"],
    &["apiserver", "scheduler", "controllers", "kubelet", "runtime", "network", "proxy", "dns"],
    &["coxswain", "xtask"],
];

/// Crates that only these may use, whatever their floor.
const DOORS: &[(&str, &[&str])] = &[
    ("api", &["apiserver", "coxswain"]),
    ("store", &["apiserver", "coxswain"]),
    ("cri", &["kubelet", "runtime", "coxswain"]),
    ("netlink", &["network", "proxy", "coxswain"]),
];

/// The only crates whose lints are their own: they talk to the kernel in ways that no safe wrapper offers.
const UNSAFE: &[&str] = &["runtime"];

/// Modules (files or folders) that decide and do nothing else.
const PURE: &[&str] = &[
    "machinery/src",
    "api/src",
    "scheduler/src/cluster.rs",
    "scheduler/src/cycle.rs",
    "scheduler/src/framework.rs",
    "scheduler/src/plugins",
    "scheduler/src/pod.rs",
    "scheduler/src/preempt.rs",
    "scheduler/src/queue.rs",
    "scheduler/src/resources.rs",
    "controllers/src/accounts",
    "controllers/src/budgets",
    "controllers/src/cleanup/finished.rs",
    "controllers/src/cleanup/garbage/graph.rs",
    "controllers/src/cleanup/namespace/conditions.rs",
    "controllers/src/cleanup/pods.rs",
    "controllers/src/nodes",
    "controllers/src/objects",
    "controllers/src/services",
    "controllers/src/storage",
    "controllers/src/workloads",
    "kubelet/src/admission.rs",
    "kubelet/src/eviction.rs",
    "kubelet/src/pod",
    "kubelet/src/spec",
    "kubelet/src/status",
    "proxy/src/endpoints.rs",
    "proxy/src/model.rs",
    "dns/src/records.rs",
    "dns/src/zone.rs",
];

/// What would make a decision depend on more than what it is shown.
const IMPURE: &[&str] = &[
    "tokio",
    "fastrand",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "time::SystemTime",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
];

#[test]
fn arrows_between_crates_run_downwards() {
    let manifests = manifests();
    let floors = floors();
    let mut wrong: Vec<String> =
        manifests.keys().filter(|name| !floors.contains_key(name.as_str())).map(|name| format!("{name} has no floor")).collect();
    wrong.extend(floors.keys().filter(|name| !manifests.contains_key(**name)).map(|name| format!("{name} has a floor but no code")));
    for (name, manifest) in &manifests {
        wrong.extend(wrong_arrows(name, &used(manifest), &floors));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_stands_only_where_the_kernel_is_spoken_to() {
    let root = std::fs::read_to_string(crates().join("../Cargo.toml")).unwrap();
    assert!(root.contains("unsafe_code = \"forbid\""), "the workspace no longer forbids unsafe code");
    for (name, manifest) in manifests() {
        let own = !section(&manifest, "lints").any(|line| line.replace(' ', "") == "workspace=true");
        assert_eq!(own, UNSAFE.contains(&name.as_str()), "{name}: `[lints] workspace = true` is missing, or no longer needs to be");
        if own {
            assert!(manifest.contains("unsafe_code = \"deny\""), "{name} must deny unsafe code outside the modules that ask for it");
        }
    }
}

#[test]
fn what_decides_only_decides() {
    let mut wrong = Vec::new();
    for module in PURE {
        let path = crates().join(module);
        assert!(path.exists(), "{module} is gone: its purity is no longer tried");
        for file in sources(&path) {
            let text = std::fs::read_to_string(&file).unwrap();
            let shown = file.strip_prefix(crates()).unwrap().display();
            wrong.extend(impurities(&text).into_iter().map(|(line, word)| format!("{shown}:{line}: {word}")));
        }
    }
    assert!(wrong.is_empty(), "pure modules mention what they must not:\n{}", wrong.join("\n"));
}

#[test]
fn the_checks_can_fail() {
    let floors = floors();
    let arrows = |name: &str, uses: &str| wrong_arrows(name, &[uses.to_string()], &floors).len();
    assert_eq!((arrows("stdx", "client"), arrows("kubelet", "scheduler"), arrows("controllers", "api")), (1, 1, 1));
    assert_eq!((arrows("kubelet", "client"), arrows("apiserver", "store"), arrows("dns", "serde")), (0, 0, 0));
    let source = "// tokio in a comment\nlet a = Timestamp::now();\n#[cfg(test)]\nmod tests {\n    std::fs::read();\n}\n";
    assert_eq!(impurities(source), [(2, "Timestamp::now")]);
    let manifest =
        "[dependencies]\napi.workspace = true\nstdx = { workspace = true }\n[features]\nmachinery = []\n[dev-dependencies]\nnetlink = {}\n";
    assert_eq!(used(manifest), ["api", "stdx", "netlink"]);
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Folder name, which is the crate's name, to its manifest.
fn manifests() -> BTreeMap<String, String> {
    let folders = std::fs::read_dir(crates()).unwrap().map(|entry| entry.unwrap());
    let read = |folder: std::fs::DirEntry| {
        let text = std::fs::read_to_string(folder.path().join("Cargo.toml")).ok()?;
        Some((folder.file_name().into_string().unwrap(), text))
    };
    folders.filter_map(read).collect()
}

fn floors() -> BTreeMap<&'static str, usize> {
    FLOORS.iter().enumerate().flat_map(|(floor, names)| names.iter().map(move |name| (*name, floor))).collect()
}

fn wrong_arrows(name: &str, uses: &[String], floors: &BTreeMap<&str, usize>) -> Vec<String> {
    let mut wrong = Vec::new();
    for other in uses {
        let (Some(from), Some(to)) = (floors.get(name), floors.get(other.as_str())) else { continue };
        let closed = DOORS.iter().any(|(door, guests)| door == other && !guests.contains(&name));
        match () {
            _ if to >= from => wrong.push(format!("{name} (floor {from}) uses {other} (floor {to})")),
            _ if closed => wrong.push(format!("{name} uses {other}, which is not for it")),
            _ => {}
        }
    }
    wrong
}

/// The lines of one `[section]`.
fn section<'a>(manifest: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = manifest.lines().map(str::trim);
    lines
        .skip_while(move |line| line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) != Some(name))
        .skip(1)
        .take_while(|line| !line.starts_with('['))
}

/// Names in all sections of dependencies.
fn used(manifest: &str) -> Vec<String> {
    let sections = ["dependencies", "build-dependencies", "dev-dependencies"];
    let lines = sections.into_iter().flat_map(|name| section(manifest, name));
    let names = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['=', '.', ' ']).next());
    names.filter(|name| !name.is_empty()).map(String::from).collect()
}

/// Rust files at or below `path`, without those that are only tests.
fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_path_buf()];
    }
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let product = entries.filter(|entry| !matches!(entry.file_stem().and_then(|stem| stem.to_str()), Some("tests" | "testing" | "golden")));
    product.flat_map(|entry| sources(&entry)).filter(|file| file.extension().is_some_and(|ending| ending == "rs")).collect()
}

/// Line numbers and words; comments and the tests at a file's end do not count.
fn impurities(text: &str) -> Vec<(usize, &'static str)> {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = product.lines().map(|line| line.split("//").next().unwrap_or_default());
    let found =
        |(at, line): (usize, &str)| IMPURE.iter().filter(|word| line.contains(**word)).map(|word| (at + 1, *word)).collect::<Vec<_>>();
    code.enumerate().flat_map(found).collect()
}
