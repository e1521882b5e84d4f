//! What is committed is what the tools write, wherever the sources are at hand (`COXSWAIN_REFERENCE`, else the usual cache).
use std::path::PathBuf;
use xtask::{golden, schema};

fn reference() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let dir = std::env::var_os("COXSWAIN_REFERENCE").map(PathBuf::from).unwrap_or_else(|| home.join(".cache/upstream/reference"));
    let there = dir.join("openapi/v3").is_dir() && schema::module_dir().join("k8s.io/api@v0.37.0").is_dir();
    if !there {
        eprintln!("skipped: no published definitions in {} and {}", dir.display(), schema::module_dir().display());
    }
    there.then_some(dir)
}

fn committed(path: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../machinery").join(path)).unwrap()
}

#[test]
fn the_schema_tables_are_fresh() {
    let Some(reference) = reference() else { return };
    let generated = schema::generate(&reference, &schema::module_dir()).unwrap();
    assert!(generated.table.as_bytes() == committed("src/schema/table.txt"), "stale: cargo run -p xtask -- schema {}", reference.display());
    assert!(
        generated.resources.as_bytes() == committed("src/schema/resources.txt"),
        "stale: cargo run -p xtask -- schema {}",
        reference.display()
    );
}

#[test]
fn the_golden_files_are_all_there() {
    let Some(reference) = reference() else { return };
    assert!(golden::holds(&committed("testdata/golden.zlib"), &golden::read(&reference).unwrap()).unwrap());
}
