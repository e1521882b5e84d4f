//! Images as files: OCI layouts (a folder or an archive of one) and what `docker save` writes. Every blob's digest is checked or made;
//! names inside an archive are only looked up, never used as paths.
use super::config::{Descriptor, Index, Manifest, media};
use super::reference::Reference;
use super::registry::choose;
use super::store::{DOCUMENT_LIMIT_BYTES, Image, Store};
use super::unpack::decompress;
use crate::problem::{Doing, Outcome, Problem};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};

const CONTAINERD_NAME: &str = "io.containerd.image.name";
const OCI_NAME: &str = "org.opencontainers.image.ref.name";
/// The most entries an archive may have.
const ENTRY_LIMIT: usize = 100_000;

/// Imports every image of `path`; `name` names the only one of an archive that names none.
pub fn import(store: &Store, path: &Path, name: Option<&str>) -> Outcome<Vec<Image>> {
    let _busy = store.busy()?;
    let found = if path.is_dir() { read_folder(store, path)? } else { read_archive(store, path)? };
    let images = match (&found.saved, &found.index) {
        (Some(saved), _) => add_saved(store, saved, &found, name)?,
        (None, Some(index)) => add_index(store, index, name)?,
        (None, None) => return Err(Problem::invalid(format_args!("{}: neither index.json nor manifest.json in it", path.display()))),
    };
    if images.is_empty() { Err(Problem::invalid(format_args!("{}: no image for this machine in it", path.display()))) } else { Ok(images) }
}

/// What an archive holds.
#[derive(Default)]
struct Found {
    /// Digest by path.
    files: BTreeMap<PathBuf, String>,
    links: BTreeMap<PathBuf, PathBuf>,
    index: Option<Index>,
    saved: Option<Vec<Saved>>,
}

/// An image as `docker save` lists it.
#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Found {
    fn note(&mut self, store: &Store, path: PathBuf, mut content: impl Read) -> Outcome<()> {
        match path.to_str() {
            Some("index.json") => self.index = Some(document(content)?),
            Some("manifest.json") => self.saved = Some(document(content)?),
            Some("oci-layout" | "repositories") => {}
            _ => {
                let mut incoming = store.incoming()?;
                std::io::copy(&mut content, &mut incoming.writer).doing("read the archive")?;
                let expected = path.to_str().and_then(|path| path.strip_prefix("blobs/sha256/")).map(|hex| format!("sha256:{hex}"));
                let digest = store.keep_blob(incoming, expected.as_deref())?;
                self.files.insert(path, digest);
            }
        }
        Ok(())
    }

    fn digest(&self, path: &str) -> Outcome<&String> {
        let path = normal(Path::new(path));
        let file = self.links.get(&path).unwrap_or(&path);
        self.files.get(file).ok_or_else(|| Problem::invalid(format_args!("the archive lacks {}", path.display())))
    }
}

fn document<T: serde::de::DeserializeOwned>(content: impl Read) -> Outcome<T> {
    let mut text = Vec::new();
    content.take(DOCUMENT_LIMIT_BYTES).read_to_end(&mut text).doing("read the archive")?;
    serde_json::from_slice(&text).map_err(|error| Problem::invalid(format_args!("the archive's index: {error}")))
}

/// Without "." and with ".." taken back.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => drop(normal.pop()),
            _ => {}
        }
    }
    normal
}

fn read_archive(store: &Store, path: &Path) -> Outcome<Found> {
    let file = File::open(path).doing(format_args!("open {}", path.display()))?;
    let mut archive = tar::Archive::new(decompress(file)?);
    let mut found = Found::default();
    for (count, entry) in archive.entries().doing("read the archive")?.enumerate() {
        if count > ENTRY_LIMIT {
            return Err(Problem::invalid(format_args!("the archive has more than {ENTRY_LIMIT} entries")));
        }
        let entry = entry.doing("read the archive")?;
        let path = normal(&entry.path().doing("read the archive")?);
        match entry.header().entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous => found.note(store, path, entry)?,
            tar::EntryType::Symlink | tar::EntryType::Link => {
                let target = entry.link_name().doing("read the archive")?.map(|target| target.into_owned()).unwrap_or_default();
                let from = if entry.header().entry_type().is_symlink() { path.parent().unwrap_or(Path::new("")) } else { Path::new("") };
                found.links.insert(path.clone(), normal(&from.join(target)));
            }
            _ => {}
        }
    }
    Ok(found)
}

fn read_folder(store: &Store, folder: &Path) -> Outcome<Found> {
    let mut found = Found::default();
    for name in ["index.json", "manifest.json"] {
        if let Ok(file) = File::open(folder.join(name)) {
            found.note(store, name.into(), file)?;
        }
    }
    let blobs = Path::new("blobs/sha256");
    for entry in std::fs::read_dir(folder.join(blobs)).doing(format_args!("read {}", folder.join(blobs).display()))?.flatten() {
        let file = File::open(entry.path()).doing(format_args!("open {}", entry.path().display()))?;
        found.note(store, blobs.join(entry.file_name()), file)?;
    }
    Ok(found)
}

fn names_or(given: Option<&str>, own: &[String]) -> Outcome<Vec<Reference>> {
    let names = if own.is_empty() { given.map(str::to_owned).into_iter().collect() } else { own.to_vec() };
    if names.is_empty() {
        return Err(Problem::invalid("the archive does not name its image: give a name"));
    }
    names.iter().map(|name| Reference::parse(name)).collect()
}

fn add_saved(store: &Store, saved: &[Saved], found: &Found, name: Option<&str>) -> Outcome<Vec<Image>> {
    let add = |one: &Saved| {
        let describe = |kind: &str, path: &String| {
            let digest = found.digest(path)?.clone();
            let size = std::fs::metadata(store.blob_path(&digest)?).doing("read a blob")?.len();
            Ok(Descriptor { media_type: kind.into(), digest, size, ..Default::default() })
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: media::OCI_MANIFEST.into(),
            config: describe(media::OCI_CONFIG, &one.config)?,
            layers: one.layers.iter().map(|path| describe(media::OCI_LAYER, path)).collect::<Outcome<_>>()?,
        };
        let digest = store.put_blob(&serde_json::to_vec(&manifest).map_err(Problem::failed)?)?;
        store.add(&digest, &names_or(name, one.repo_tags.as_deref().unwrap_or_default())?, true)
    };
    saved.iter().map(add).collect()
}

fn add_index(store: &Store, index: &Index, name: Option<&str>) -> Outcome<Vec<Image>> {
    let mut images = Vec::new();
    for entry in &index.manifests {
        let own =
            entry.annotations.get(CONTAINERD_NAME).or_else(|| entry.annotations.get(OCI_NAME).filter(|name| name.contains(['/', ':'])));
        let names = names_or(name, &own.cloned().into_iter().collect::<Vec<_>>())?;
        let inner: Index = store.read_document(&entry.digest)?;
        let manifest = if inner.manifests.is_empty() { Some(entry) } else { choose(&inner) };
        if let Some(manifest) = manifest {
            images.push(store.add(&manifest.digest, &names, true)?);
        }
    }
    Ok(images)
}

/// Writes an image as an archive that is both an OCI layout and what `docker load` takes.
pub fn export(store: &Store, name: &str, target: impl Write) -> Outcome<()> {
    let image = store.find(name).ok_or_else(|| Problem::not_found(format_args!("image {name:?}: not found")))?;
    let manifest: Manifest = store.read_document(&image.manifest)?;
    let mut archive = tar::Builder::new(target);
    put(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let size = std::fs::metadata(store.blob_path(&image.manifest)?).doing("read a blob")?.len();
    let tags: Vec<String> = if image.tags.is_empty() { vec![name.to_owned()] } else { image.tags.iter().cloned().collect() };
    let describe = |tag: &String| Descriptor {
        media_type: if manifest.media_type.is_empty() { media::OCI_MANIFEST.into() } else { manifest.media_type.clone() },
        digest: image.manifest.clone(),
        size,
        platform: None,
        annotations: [CONTAINERD_NAME, OCI_NAME].map(|key| (key.to_owned(), tag.clone())).into(),
    };
    let index = Index { schema_version: 2, media_type: media::OCI_INDEX.into(), manifests: tags.iter().map(describe).collect() };
    put(&mut archive, "index.json", &serde_json::to_vec(&index).map_err(Problem::failed)?)?;
    let blob = |digest: &str| digest.replace("sha256:", "blobs/sha256/");
    let layers = manifest.layers.iter().map(|layer| blob(&layer.digest)).collect();
    let saved = [Saved { config: blob(&image.id), repo_tags: Some(tags), layers }];
    put(&mut archive, "manifest.json", &serde_json::to_vec(&saved).map_err(Problem::failed)?)?;
    let mut digests: Vec<&String> = manifest.layers.iter().map(|layer| &layer.digest).chain([&image.id, &image.manifest]).collect();
    digests.sort();
    digests.dedup();
    for digest in digests {
        let mut file = File::open(store.blob_path(digest)?).doing("read a blob")?;
        let mut header = header(file.metadata().doing("read a blob")?.len());
        archive.append_data(&mut header, blob(digest), &mut file).doing("write the archive")?;
    }
    archive.into_inner().and_then(|mut target| target.flush()).doing("write the archive")
}

fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(size);
    header
}

fn put(archive: &mut tar::Builder<impl Write>, path: &str, bytes: &[u8]) -> Outcome<()> {
    archive.append_data(&mut header(bytes.len() as u64), path, bytes).doing("write the archive")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::build;
    use crate::image::config::Settings;

    #[test]
    fn what_is_exported_can_be_imported() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (Store::open(&folder.path().join("a")).unwrap(), Store::open(&folder.path().join("b")).unwrap());
        let tree = folder.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        std::fs::write(tree.join("f"), "text").unwrap();
        let settings = Settings { cmd: vec!["x".into()], ..Default::default() };
        let built = build::from_folder(&first, &tree, "test/one:v1", settings).unwrap();
        let path = folder.path().join("image.tar");
        export(&first, "test/one:v1", File::create(&path).unwrap()).unwrap();
        let images = import(&second, &path, None).unwrap();
        assert_eq!((&images[0].id, &images[0].tags), (&built.id, &["docker.io/test/one:v1".to_string()].into()));
        let layer = second.layers_folder().join(Store::layer_name(&images[0].diff_ids[0]).unwrap());
        assert_eq!(std::fs::read_to_string(layer.join("f")).unwrap(), "text");
        // A second process sees what the first did.
        assert!(Store::open(&folder.path().join("b")).unwrap().remove("test/one:v1", &Default::default()).unwrap());
        assert!(second.find("test/one:v1").is_none() && !layer.exists());
    }

    #[test]
    fn a_wrong_digest_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("a")).unwrap();
        let path = folder.path().join("image.tar");
        let mut archive = tar::Builder::new(File::create(&path).unwrap());
        put(&mut archive, &format!("blobs/sha256/{}", "0".repeat(64)), b"x").unwrap();
        archive.into_inner().unwrap();
        assert!(import(&store, &path, None).unwrap_err().to_string().contains("has digest"));
    }
}
