//! Unpacks one layer into a folder for overlay: whiteouts become 0:0 devices, opaque folders get overlay's attribute; owners,
//! modes, times and extended attributes are kept. Every path is resolved as if the folder were "/", by the kernel
//! (`openat2` RESOLVE_IN_ROOT), so no name and no link of an archive reaches anything outside.
use crate::problem::{Doing, Outcome, Problem};
use crate::sys;
use std::ffi::{OsStr, OsString};
use std::io::{BufReader, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use tar::{Entry, EntryType};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// The deepest path and the most entries a layer may have.
const DEPTH_LIMIT: usize = 255;
const ENTRY_LIMIT: usize = 4_000_000;

/// A reader of the archive inside: gzip, zstd or plain, told by the first bytes.
pub fn decompress<'a>(compressed: impl Read + 'a) -> Outcome<Box<dyn Read + 'a>> {
    let mut reader = BufReader::with_capacity(256 * 1024, compressed);
    let magic = std::io::BufRead::fill_buf(&mut reader).doing("read the layer")?;
    if magic.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(reader)));
    }
    if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Ok(Box::new(zstd::stream::read::Decoder::with_buffer(reader).doing("read the layer")?));
    }
    Ok(Box::new(reader))
}

/// Unpacks the plain archive `archive` into the existing empty folder `target`; the bytes of all files.
pub fn unpack(archive: impl Read, target: &Path) -> Outcome<u64> {
    let root = std::fs::File::open(target).doing("open the layer's folder")?;
    let mut unpacker = Unpacker { root: root.into(), parent: None, folders: Vec::new(), bytes: 0 };
    let mut archive = tar::Archive::new(archive);
    for (count, entry) in archive.entries().doing("read the layer")?.enumerate() {
        if count > ENTRY_LIMIT {
            return Err(Problem::invalid(format_args!("the layer has more than {ENTRY_LIMIT} entries")));
        }
        let mut entry = entry.doing("read the layer")?;
        let name = PathBuf::from(OsStr::from_bytes(&entry.path_bytes()));
        unpacker.place(&mut entry).map_err(|problem| Problem::failed(format_args!("layer entry {}: {problem}", name.display())))?;
    }
    unpacker.finish()
}

struct Unpacker {
    root: OwnedFd,
    /// The folder of the last entry: neighbours usually share it.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Folders and their times, set when nothing is written into them any more.
    folders: Vec<(PathBuf, i64)>,
    bytes: u64,
}

/// The parts of a path without "..", "." and leading "/".
fn clean(path: &Path) -> Outcome<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(Problem::invalid("the path leads upwards")),
        }
    }
    if clean.components().count() > DEPTH_LIMIT {
        return Err(Problem::invalid("the path is too deep"));
    }
    Ok(clean)
}

/// A path to what `fd` holds, for calls that take paths only.
fn through(fd: &OwnedFd, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd").join(fd.as_raw_fd().to_string()).join(name)
}

impl Unpacker {
    fn place(&mut self, entry: &mut Entry<'_, impl Read>) -> Outcome<()> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader | EntryType::GNUSparse) && kind != EntryType::GNUSparse {
            return Ok(());
        }
        let path = clean(Path::new(OsStr::from_bytes(&entry.path_bytes())))?;
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            return self.own_root(entry);
        };
        let parent = path.parent().unwrap_or(Path::new("")).to_owned();
        self.enter(&parent)?;
        let folder = &self.parent.as_ref().expect("just entered").1;
        if name == OPAQUE {
            let link = PathBuf::from(format!("/proc/self/fd/{}/.", folder.as_raw_fd()));
            return sys::set_attribute(&link, "trusted.overlay.opaque", b"y").doing("mark the folder opaque");
        }
        if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT.as_bytes()) {
            if hidden.is_empty() || matches!(hidden, b"." | b"..") || hidden.starts_with(WHITEOUT.as_bytes()) {
                return Ok(());
            }
            let place = through(folder, OsStr::from_bytes(hidden));
            remove(&place)?;
            return sys::make_node(&place, libc::S_IFCHR, 0, 0).doing("make the whiteout");
        }
        let place = through(folder, &name);
        self.make(entry, kind, &path, &place)
    }

    fn own_root(&mut self, entry: &Entry<'_, impl Read>) -> Outcome<()> {
        let link = PathBuf::from(format!("/proc/self/fd/{}/.", self.root.as_raw_fd()));
        set_owner_and_mode(entry, &link, false)
    }

    fn make(&mut self, entry: &mut Entry<'_, impl Read>, kind: EntryType, path: &Path, place: &Path) -> Outcome<()> {
        let existing = std::fs::symlink_metadata(place).ok();
        if !(kind.is_dir() && existing.as_ref().is_some_and(|data| data.is_dir())) && existing.is_some() {
            remove(place)?;
            self.parent = self.parent.take().filter(|(parent, _)| !parent.starts_with(path));
        }
        match kind {
            EntryType::Directory => {
                if !existing.is_some_and(|data| data.is_dir()) {
                    std::fs::create_dir(place).doing("make the folder")?;
                }
                self.folders.push((path.to_owned(), time(entry)));
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().ok_or_else(|| Problem::invalid("a link without target"))?;
                symlink(OsStr::from_bytes(&target), place).doing("make the link")?;
            }
            EntryType::Link => return self.hard_link(entry, place),
            EntryType::Char | EntryType::Block | EntryType::Fifo => special(entry, kind, place)?,
            _ => {
                let mut file = std::fs::File::options().write(true).create_new(true).open(place).doing("make the file")?;
                self.bytes += std::io::copy(entry, &mut file).doing("write the file")?;
            }
        }
        set_owner_and_mode(entry, place, kind == EntryType::Symlink)?;
        set_attributes(entry, place)?;
        if !kind.is_dir() {
            sys::set_times(place, time(entry), 0).doing("set the time")?;
        }
        Ok(())
    }

    fn hard_link(&self, entry: &Entry<'_, impl Read>, place: &Path) -> Outcome<()> {
        let target = entry.link_name_bytes().ok_or_else(|| Problem::invalid("a link without target"))?;
        let target = clean(Path::new(OsStr::from_bytes(&target)))?;
        let name = target.file_name().ok_or_else(|| Problem::invalid("a link to the root"))?;
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = sys::open_in_root(self.root.as_fd(), parent, libc::O_PATH | libc::O_DIRECTORY).doing("find the link's target")?;
        // link(2) does not follow a link at the end, so the target is in the folder just found.
        std::fs::hard_link(through(&folder, name), place).doing("make the hard link")
    }

    /// Makes `path` the folder that entries are put into, creating what is missing.
    fn enter(&mut self, path: &Path) -> Outcome<()> {
        if self.parent.as_ref().is_some_and(|(known, _)| known == path) {
            return Ok(());
        }
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        let whole = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let opened = match sys::open_in_root(self.root.as_fd(), whole, flags) {
            Ok(folder) => folder,
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => self.make_way(path)?,
            Err(error) => return Err(error).doing("open the folder"),
        };
        self.parent = Some((path.to_owned(), opened));
        Ok(())
    }

    fn make_way(&self, path: &Path) -> Outcome<OwnedFd> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        let mut way = PathBuf::new();
        let mut folder = self.root.try_clone().doing("open the folder")?;
        for part in path.components() {
            way.push(part);
            folder = match sys::open_in_root(self.root.as_fd(), &way, flags) {
                Ok(folder) => folder,
                Err(_) => {
                    let place = through(&folder, part.as_os_str());
                    remove(&place)?;
                    std::fs::create_dir(&place).doing("make the folder")?;
                    sys::open_in_root(self.root.as_fd(), &way, flags).doing("open the folder")?
                }
            };
        }
        Ok(folder)
    }

    fn finish(self) -> Outcome<u64> {
        for (path, time) in self.folders.iter().rev() {
            if let Ok(folder) = sys::open_in_root(self.root.as_fd(), path, libc::O_PATH | libc::O_DIRECTORY) {
                sys::set_times(&through(&folder, OsString::from(".").as_os_str()), *time, 0).doing("set the time")?;
            }
        }
        Ok(self.bytes)
    }
}

fn time(entry: &Entry<'_, impl Read>) -> i64 {
    entry.header().mtime().unwrap_or_default() as i64
}

/// Removes whatever an earlier entry of the same layer put at `place`.
fn remove(place: &Path) -> Outcome<()> {
    match std::fs::symlink_metadata(place) {
        Err(_) => Ok(()),
        Ok(data) if data.is_dir() => std::fs::remove_dir_all(place).doing("replace the folder"),
        Ok(_) => std::fs::remove_file(place).doing("replace the file"),
    }
}

fn special(entry: &Entry<'_, impl Read>, kind: EntryType, place: &Path) -> Outcome<()> {
    let number = |value: std::io::Result<Option<u32>>| value.ok().flatten().unwrap_or_default();
    let (major, minor) = (number(entry.header().device_major()), number(entry.header().device_minor()));
    let mode = match kind {
        EntryType::Char if (major, minor) == (0, 0) => return Err(Problem::invalid("a device that would be taken for a whiteout")),
        EntryType::Char => libc::S_IFCHR,
        EntryType::Block => libc::S_IFBLK,
        _ => libc::S_IFIFO,
    };
    sys::make_node(place, mode | 0o600, major, minor).doing("make the device")
}

fn set_owner_and_mode(entry: &Entry<'_, impl Read>, place: &Path, is_link: bool) -> Outcome<()> {
    let header = entry.header();
    let id = |value: std::io::Result<u64>| value.map(|id| id as u32).doing("read the owner");
    std::os::unix::fs::lchown(place, Some(id(header.uid())?), Some(id(header.gid())?)).doing("set the owner")?;
    if is_link {
        return Ok(());
    }
    let mode = header.mode().doing("read the mode")? & 0o7777;
    std::fs::set_permissions(place, std::fs::Permissions::from_mode(mode)).doing("set the mode")
}

fn set_attributes(entry: &mut Entry<'_, impl Read>, place: &Path) -> Outcome<()> {
    let Ok(Some(extensions)) = entry.pax_extensions() else { return Ok(()) };
    let mut attributes = Vec::new();
    for extension in extensions.flatten() {
        if let Some(name) = extension.key().ok().and_then(|key| key.strip_prefix("SCHILY.xattr.")) {
            attributes.push((name.to_owned(), extension.value_bytes().to_vec()));
        }
    }
    for (name, value) in attributes {
        // Overlay's own attributes would let a layer reach into others.
        if name.starts_with("trusted.") {
            continue;
        }
        match sys::set_attribute(place, &name, &value) {
            Err(error) if !matches!(error.raw_os_error(), Some(libc::ENOTSUP | libc::EPERM | libc::EINVAL)) => {
                return Err(error).doing(format_args!("set attribute {name}"));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
