//! The image store: blobs by digest, layers unpacked once and shared by all images, and an index of images on disk that is
//! replaced whole. An image is in the index only when all of it is there.
use super::config::{Configuration, Manifest};
use super::digest::{self, Digesting};
use super::reference::Reference;
use super::unpack;
use crate::problem::{Doing, Outcome, Problem};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The longest manifest, index or configuration.
pub const DOCUMENT_LIMIT_BYTES: u64 = 8 * 1024 * 1024;
/// How much of a diff id names a layer's folder: short, because overlay takes all names in one page.
const LAYER_NAME_LENGTH: usize = 24;

/// An image, named by the digest of its configuration.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(default)]
pub struct Image {
    pub id: String,
    /// `registry/repository:tag`.
    pub tags: BTreeSet<String>,
    /// `registry/repository@digest`.
    pub digests: BTreeSet<String>,
    pub manifest: String,
    pub diff_ids: Vec<String>,
    pub size_bytes: u64,
    pub pinned: bool,
    pub configuration: Configuration,
}

pub struct Store {
    root: PathBuf,
    index: Mutex<Index>,
}

/// The index as last read, and which file that was: a second process (`image import` beside the daemon) may replace it.
#[derive(Default)]
struct Index {
    images: BTreeMap<String, Image>,
    seen: Option<(u64, i64, i64)>,
}

/// While it lives, nothing is swept: what comes in is in nobody's index yet.
pub struct Busy(#[allow(dead_code)] File);

impl Store {
    pub fn open(root: &Path) -> Outcome<Store> {
        for folder in ["blobs", "layers", "incoming"] {
            std::fs::create_dir_all(root.join(folder)).doing("make the image store")?;
        }
        let store = Store { root: root.to_owned(), index: Mutex::default() };
        store.read(&mut store.index.lock())?;
        // What was coming in when the last process ended is of no use.
        let alone = store.lock_file("busy.lock")?;
        if crate::sys::try_lock(&alone) {
            remove_others(&root.join("incoming"), &BTreeSet::new())?;
        }
        Ok(store)
    }

    fn lock_file(&self, name: &str) -> Outcome<File> {
        File::options().create(true).truncate(false).write(true).open(self.root.join(name)).doing("lock the image store")
    }

    /// To be held by whoever brings blobs in until the image is in the index.
    pub fn busy(&self) -> Outcome<Busy> {
        let file = self.lock_file("busy.lock")?;
        crate::sys::lock_shared(&file).doing("lock the image store")?;
        Ok(Busy(file))
    }

    /// Reads the index again if it is another file than the last one.
    fn read(&self, index: &mut Index) -> Outcome<()> {
        use std::os::unix::fs::MetadataExt;
        let path = self.root.join("images.json");
        let Ok(data) = std::fs::metadata(&path) else { return Ok(()) };
        let seen = Some((data.ino(), data.mtime(), data.mtime_nsec()));
        if index.seen != seen {
            let text = std::fs::read(&path).doing("read the image index")?;
            index.images = serde_json::from_slice(&text).map_err(|error| Problem::failed(format_args!("images.json: {error}")))?;
            index.seen = seen;
        }
        Ok(())
    }

    /// The index as it is now, for reading.
    fn current(&self) -> parking_lot::MutexGuard<'_, Index> {
        let mut index = self.index.lock();
        if let Err(problem) = self.read(&mut index) {
            tracing::error!(%problem, "the image index could not be read again");
        }
        index
    }

    /// Changes the index, alone among all processes.
    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Image>) -> T) -> Outcome<T> {
        let mut index = self.index.lock();
        let file = self.lock_file("index.lock")?;
        crate::sys::lock(&file).doing("lock the image index")?;
        self.read(&mut index)?;
        let result = change(&mut index.images);
        self.save(&index.images)?;
        self.read(&mut index)?;
        Ok(result)
    }

    pub fn layers_folder(&self) -> PathBuf {
        self.root.join("layers")
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn list(&self) -> Vec<Image> {
        self.current().images.values().cloned().collect()
    }

    /// Finds an image by id (whole, with or without `sha256:`, or a unique beginning), name or digest.
    pub fn find(&self, name: &str) -> Option<Image> {
        let index = &self.current().images;
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        if hex.len() >= 12 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let mut fits = index.values().filter(|image| image.id["sha256:".len()..].starts_with(hex));
            if let (Some(image), None) = (fits.next(), fits.next()) {
                return Some(image.clone());
            }
        }
        let reference = Reference::parse(name).ok()?;
        let (tagged, by_digest) = (reference.tagged(), reference.digest.as_deref().map(|digest| reference.with_digest(digest)));
        let fits = |image: &&Image| match &by_digest {
            Some(digest) => image.digests.contains(digest),
            None => tagged.as_ref().is_some_and(|tag| image.tags.contains(tag)),
        };
        index.values().find(fits).cloned()
    }

    pub fn blob_path(&self, digest: &str) -> Outcome<PathBuf> {
        Ok(self.root.join("blobs").join(digest::hex(digest)?))
    }

    pub fn has_blob(&self, digest: &str) -> bool {
        self.blob_path(digest).is_ok_and(|path| path.exists())
    }

    pub fn layer_name(diff_id: &str) -> Outcome<String> {
        Ok(digest::hex(diff_id)?[..LAYER_NAME_LENGTH].to_owned())
    }

    pub fn has_layer(&self, diff_id: &str) -> bool {
        Store::layer_name(diff_id).is_ok_and(|name| self.root.join("layers").join(name).exists())
    }

    /// A file to collect incoming bytes in; `keep_blob` or the next start removes it.
    pub fn incoming(&self) -> Outcome<Incoming> {
        let path = self.root.join("incoming").join(random_name());
        let file = File::options().create_new(true).read(true).write(true).open(&path).doing("take in a blob")?;
        Ok(Incoming { path, writer: Digesting::new(file), kept: false })
    }

    /// Keeps a blob if its digest is the one expected.
    pub fn keep_blob(&self, mut incoming: Incoming, expected: Option<&str>) -> Outcome<String> {
        let (file, digest) =
            std::mem::replace(&mut incoming.writer, Digesting::new(File::open("/dev/null").doing("keep a blob")?)).finish();
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            return Err(Problem::failed(format_args!("content has digest {digest}, expected {expected}")));
        }
        drop(file);
        std::fs::rename(&incoming.path, self.blob_path(&digest)?).doing("keep a blob")?;
        incoming.kept = true;
        Ok(digest)
    }

    pub fn put_blob(&self, bytes: &[u8]) -> Outcome<String> {
        let mut incoming = self.incoming()?;
        incoming.writer.write_all(bytes).doing("write a blob")?;
        self.keep_blob(incoming, None)
    }

    pub fn read_document<T: serde::de::DeserializeOwned>(&self, digest: &str) -> Outcome<T> {
        let mut text = Vec::new();
        let file = File::open(self.blob_path(digest)?).doing(format_args!("open blob {digest}"))?;
        file.take(DOCUMENT_LIMIT_BYTES).read_to_end(&mut text).doing(format_args!("read blob {digest}"))?;
        serde_json::from_slice(&text).map_err(|error| Problem::failed(format_args!("{digest}: {error}")))
    }

    /// Unpacks the layer blob `digest`, whose content must have `diff_id`, unless it is there already.
    pub fn unpack_layer(&self, digest: &str, diff_id: &str) -> Outcome<()> {
        if self.has_layer(diff_id) {
            return Ok(());
        }
        let file = File::open(self.blob_path(digest)?).doing(format_args!("open blob {digest}"))?;
        let folder = self.root.join("incoming").join(random_name());
        std::fs::create_dir(&folder).doing("make a folder for the layer")?;
        let done = unpack_checked(file, &folder, diff_id).and_then(|()| {
            let place = self.root.join("layers").join(Store::layer_name(diff_id)?);
            std::fs::rename(&folder, &place).or_else(|error| if place.exists() { Ok(()) } else { Err(error) }).doing("keep the layer")
        });
        if folder.exists() {
            std::fs::remove_dir_all(&folder).ok();
        }
        done
    }

    /// Adds the image of a manifest whose blobs are all here, unpacking what is not; `names` are its references.
    pub fn add(&self, manifest_digest: &str, names: &[Reference], pinned: bool) -> Outcome<Image> {
        let manifest: Manifest = self.read_document(manifest_digest)?;
        let configuration: Configuration = self.read_document(&manifest.config.digest)?;
        let diff_ids = configuration.rootfs.diff_ids.clone();
        if diff_ids.len() != manifest.layers.len() {
            return Err(Problem::invalid("manifest and configuration tell different numbers of layers"));
        }
        for (layer, diff_id) in manifest.layers.iter().zip(&diff_ids) {
            self.unpack_layer(&layer.digest, diff_id)?;
        }
        let size_bytes = manifest.config.size + manifest.layers.iter().map(|layer| layer.size).sum::<u64>();
        let image = Image {
            id: manifest.config.digest.clone(),
            manifest: manifest_digest.to_owned(),
            diff_ids,
            size_bytes,
            pinned,
            configuration,
            ..Default::default()
        };
        self.enter(image, names)
    }

    fn enter(&self, image: Image, names: &[Reference]) -> Outcome<Image> {
        let tags: Vec<String> = names.iter().filter_map(Reference::tagged).collect();
        self.change(|index| {
            // A tag names one image: it moves.
            for other in index.values_mut().filter(|other| other.id != image.id) {
                other.tags.retain(|tag| !tags.contains(tag));
            }
            let kept = index.entry(image.id.clone()).or_insert(image.clone());
            kept.manifest = image.manifest.clone();
            kept.pinned |= image.pinned;
            kept.tags.extend(tags);
            kept.digests.extend(names.iter().map(|name| name.with_digest(&image.manifest)));
            kept.digests.extend(names.iter().filter_map(|name| name.digest.as_deref().map(|digest| name.with_digest(digest))));
            kept.clone()
        })
    }

    fn save(&self, index: &BTreeMap<String, Image>) -> Outcome<()> {
        let (draft, path) = (self.root.join("images.json.new"), self.root.join("images.json"));
        let mut file = File::create(&draft).doing("write the image index")?;
        file.write_all(&serde_json::to_vec(index).map_err(Problem::failed)?).doing("write the image index")?;
        file.sync_data().doing("write the image index")?;
        std::fs::rename(&draft, &path).doing("write the image index")
    }

    /// Removes an image with all its names. What containers still use (`layers_in_use`, by diff id) stays until it is swept.
    pub fn remove(&self, name: &str, layers_in_use: &BTreeSet<String>) -> Outcome<bool> {
        let Some(image) = self.find(name) else { return Ok(false) };
        self.change(|index| index.remove(&image.id))?;
        self.sweep(layers_in_use)?;
        Ok(true)
    }

    /// Removes blobs and layers that neither an image nor a container needs; another time while something comes in.
    pub fn sweep(&self, layers_in_use: &BTreeSet<String>) -> Outcome<()> {
        let alone = self.lock_file("busy.lock")?;
        if !crate::sys::try_lock(&alone) {
            return Ok(());
        }
        let index = self.current().images.clone();
        let mut layers = BTreeSet::new();
        let mut blobs = BTreeSet::new();
        for image in index.values() {
            layers.extend(image.diff_ids.iter().filter_map(|id| Store::layer_name(id).ok()));
            let manifest: Manifest = self.read_document(&image.manifest)?;
            let digests = manifest.layers.iter().map(|layer| &layer.digest).chain([&image.id, &image.manifest]);
            blobs.extend(digests.filter_map(|digest| digest::hex(digest).ok().map(str::to_owned)));
        }
        layers.extend(layers_in_use.iter().filter_map(|id| Store::layer_name(id).ok()));
        remove_others(&self.root.join("layers"), &layers)?;
        remove_others(&self.root.join("blobs"), &blobs)
    }
}

fn remove_others(folder: &Path, kept: &BTreeSet<String>) -> Outcome<()> {
    for entry in std::fs::read_dir(folder).doing("sweep the image store")?.flatten() {
        if !entry.file_name().to_str().is_some_and(|name| kept.contains(name)) {
            std::fs::remove_file(entry.path()).or_else(|_| std::fs::remove_dir_all(entry.path())).ok();
        }
    }
    Ok(())
}

fn unpack_checked(blob: File, folder: &Path, diff_id: &str) -> Outcome<()> {
    let mut plain = Digesting::new(unpack::decompress(blob)?);
    unpack::unpack(&mut plain, folder)?;
    // What follows the end of the archive belongs to the digest as well.
    std::io::copy(&mut plain, &mut std::io::sink()).doing("read the layer")?;
    let (_, found) = plain.finish();
    if found != diff_id {
        return Err(Problem::failed(format_args!("layer has diff id {found}, the configuration says {diff_id}")));
    }
    Ok(())
}

pub(crate) fn random_name() -> String {
    crate::sys::random::<16>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes on their way in; the file goes when it is not kept.
pub struct Incoming {
    path: PathBuf,
    pub writer: Digesting<File>,
    kept: bool,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.kept {
            std::fs::remove_file(&self.path).ok();
        }
    }
}
