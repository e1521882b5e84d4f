//! Images made here: from a folder, and from the running program itself, so that a first workload needs no registry.
use super::config::{Configuration, Descriptor, Manifest, RootFs, Settings, architecture, media};
use super::digest::Digesting;
use super::reference::Reference;
use super::store::{Image, Store};
use crate::problem::{Doing, Outcome, Problem};
use std::io::Write;
use std::path::Path;

/// Builds an image of one layer that holds the tree below `folder`.
pub fn from_folder(store: &Store, folder: &Path, name: &str, settings: Settings) -> Outcome<Image> {
    build(store, name, settings, |archive| {
        archive.follow_symlinks(false);
        archive.append_dir_all(".", folder).doing(format_args!("pack {}", folder.display()))
    })
}

/// Packs the program `program` as `/coxswain` into the image `name` with the entrypoint `["/coxswain", …arguments]`.
/// Everything else in it is what an empty root needs. Nothing is done when the image is of this very program already.
pub fn pack_self(store: &Store, program: &Path, name: &str, arguments: &[&str]) -> Outcome<Image> {
    let entrypoint = ["/coxswain"].iter().chain(arguments).map(|text| (*text).to_owned()).collect();
    let labels = [(PROGRAM_LABEL.to_owned(), mark(program)?)].into();
    let settings = Settings { entrypoint, env: vec!["PATH=/".into()], working_dir: "/".into(), labels, ..Default::default() };
    if let Some(known) = store.find(name).filter(|image| image.configuration.config == settings) {
        return Ok(known);
    }
    build(store, name, settings, |archive| {
        for (path, mode) in [("etc/", 0o755), ("tmp/", 0o1777)] {
            folder(archive, path, mode)?;
        }
        file(archive, "etc/passwd", 0o644, b"root:x:0:0:root:/:\nnobody:x:65534:65534:nobody:/:\n")?;
        file(archive, "etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n")?;
        let mut program = std::fs::File::open(program).doing("open the program")?;
        let mut header = header(tar::EntryType::Regular, 0o755);
        header.set_size(program.metadata().doing("read the program")?.len());
        archive.append_data(&mut header, "coxswain", &mut program).doing("pack the program")
    })
}

/// Tells which build of the program an image holds.
const PROGRAM_LABEL: &str = "coxswain.program";

fn mark(program: &Path) -> Outcome<String> {
    use std::os::unix::fs::MetadataExt;
    let data = std::fs::metadata(program).doing("read the program")?;
    Ok(format!("{}-{}-{}", data.len(), data.mtime(), data.mtime_nsec()))
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

fn folder(archive: &mut tar::Builder<impl Write>, path: &str, mode: u32) -> Outcome<()> {
    archive.append_data(&mut header(tar::EntryType::Directory, mode), path, std::io::empty()).doing("pack a folder")
}

fn file(archive: &mut tar::Builder<impl Write>, path: &str, mode: u32, bytes: &[u8]) -> Outcome<()> {
    let mut header = header(tar::EntryType::Regular, mode);
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, path, bytes).doing("pack a file")
}

type Archive<'a> = tar::Builder<&'a mut Digesting<std::fs::File>>;

fn build(store: &Store, name: &str, settings: Settings, pack: impl FnOnce(&mut Archive<'_>) -> Outcome<()>) -> Outcome<Image> {
    let reference = Reference::parse(name)?;
    let _busy = store.busy()?;
    let mut incoming = store.incoming()?;
    let mut archive = tar::Builder::new(&mut incoming.writer);
    pack(&mut archive)?;
    archive.finish().doing("pack the layer")?;
    drop(archive);
    let size = incoming.writer.bytes;
    // The layer is not compressed, so its digest and its diff id are one.
    let layer = store.keep_blob(incoming, None)?;
    let configuration = Configuration {
        architecture: architecture().into(),
        os: "linux".into(),
        created: None,
        config: settings,
        rootfs: RootFs { kind: "layers".into(), diff_ids: vec![layer.clone()] },
    };
    let descriptor = |kind: &str, digest: String, size: u64| Descriptor { media_type: kind.into(), digest, size, ..Default::default() };
    let text = serde_json::to_vec(&configuration).map_err(Problem::failed)?;
    let config = descriptor(media::OCI_CONFIG, store.put_blob(&text)?, text.len() as u64);
    let layers = vec![descriptor(media::OCI_LAYER, layer, size)];
    let manifest = Manifest { schema_version: 2, media_type: media::OCI_MANIFEST.into(), config, layers };
    let manifest = store.put_blob(&serde_json::to_vec(&manifest).map_err(Problem::failed)?)?;
    store.add(&manifest, &[reference], true)
}
