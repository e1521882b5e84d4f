//! `cargo run -p xtask -- schema <reference dir> [<Go module dir>]` writes the committed tables of `machinery::schema`.
//! `cargo run -p xtask -- golden <reference dir>` packs the published wire files that the codecs are tested against.
//! Tools only: nothing here is part of the product.
use std::path::Path;
use std::process::ExitCode;
use xtask::{golden, schema};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["schema", reference] => write_schema(Path::new(reference), &schema::module_dir()),
        ["schema", reference, modules] => write_schema(Path::new(reference), Path::new(modules)),
        ["golden", reference] => write_golden(Path::new(reference)),
        _ => Err("usage: xtask schema <reference dir> [<Go module dir>] | golden <reference dir>".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_schema(reference: &Path, modules: &Path) -> Result<(), schema::Error> {
    let generated = schema::generate(reference, modules)?;
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../machinery/src/schema");
    std::fs::write(target.join("table.txt"), &generated.table)?;
    std::fs::write(target.join("resources.txt"), &generated.resources)?;
    let (messages, resources) = (generated.table.matches("\nM\t").count(), generated.resources.matches("\nR\t").count());
    eprintln!("{messages} messages in {} bytes, {resources} resources", generated.table.len());
    Ok(())
}

fn write_golden(reference: &Path) -> Result<(), schema::Error> {
    let packed = golden::pack(&golden::read(reference)?)?;
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../machinery/testdata");
    std::fs::create_dir_all(&target)?;
    std::fs::write(target.join("golden.zlib"), &packed)?;
    eprintln!("{} bytes", packed.len());
    Ok(())
}
