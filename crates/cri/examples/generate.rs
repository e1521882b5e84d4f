//! Generates `src/v1.rs` from the published definition of the container runtime interface:
//! `cargo run -p cri --example generate -- <folder of api.proto> crates/cri/src/v1.rs`.
//! Comments of the definition are dropped: the result holds facts only.
use prost_types::FileDescriptorSet;

const HEADER: &str =
    "// Generated from runtime/v1/api.proto (k8s.io/cri-api v0.37.0) by `cargo run -p cri --example generate`; do not edit.\n";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(target)) = (arguments.next(), arguments.next()) else {
        return Err("usage: generate <folder of api.proto> <target file>".into());
    };
    let mut files: FileDescriptorSet = protox::compile([format!("{folder}/api.proto")], [&folder])?;
    for file in &mut files.file {
        file.source_code_info = None;
    }
    let out = tempfile::tempdir()?;
    tonic_prost_build::configure().out_dir(out.path()).compile_fds(files)?;
    let code = std::fs::read_to_string(out.path().join("runtime.v1.rs"))?;
    std::fs::write(&target, format!("{HEADER}{}", without_comments(&code)))?;
    Ok(())
}

/// The generator's own comments go too.
fn without_comments(code: &str) -> String {
    code.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect()
}
