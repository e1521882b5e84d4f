use super::*;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    fn new() -> Layer {
        Layer(tar::Builder::new(Vec::new()))
    }

    fn raw(mut self, kind: EntryType, name: &str, link: &str, data: &str) -> Layer {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o4751);
        header.set_uid(1234);
        header.set_gid(55);
        header.set_mtime(1_000_000);
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.0.append(&header, data.as_bytes()).unwrap();
        self
    }

    fn unpack(self) -> (tempfile::TempDir, Outcome<u64>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("layer")).unwrap();
        std::fs::write(folder.path().join("outside"), "untouched").unwrap();
        let done = unpack(self.0.into_inner().unwrap().as_slice(), &folder.path().join("layer"));
        assert_eq!(std::fs::read_to_string(folder.path().join("outside")).unwrap(), "untouched");
        (folder, done)
    }
}

#[test]
fn files_keep_what_they_are() {
    let (folder, done) = Layer::new()
        .raw(EntryType::Directory, "d", "", "")
        .raw(EntryType::Regular, "d/f", "", "text")
        .raw(EntryType::Link, "hard", "d/f", "")
        .raw(EntryType::Symlink, "soft", "d/f", "")
        .unpack();
    assert_eq!(done.unwrap(), 4);
    let root = folder.path().join("layer");
    let data = std::fs::metadata(root.join("d/f")).unwrap();
    assert_eq!((data.uid(), data.gid(), data.mode() & 0o7777, data.mtime()), (1234, 55, 0o4751, 1_000_000));
    assert_eq!(std::fs::metadata(root.join("hard")).unwrap().ino(), data.ino());
    assert_eq!(std::fs::metadata(root.join("d")).unwrap().mtime(), 1_000_000);
    assert_eq!(std::fs::read_link(root.join("soft")).unwrap(), Path::new("d/f"));
}

#[test]
fn whiteouts_are_overlays() {
    let (folder, done) =
        Layer::new().raw(EntryType::Regular, "a/.wh.gone", "", "").raw(EntryType::Regular, "b/.wh..wh..opq", "", "").unpack();
    done.unwrap();
    let gone = std::fs::symlink_metadata(folder.path().join("layer/a/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert!(folder.path().join("layer/b").is_dir());
}

#[test]
fn nothing_gets_out() {
    for name in ["../outside", "/../outside", "d/../../outside"] {
        assert!(Layer::new().raw(EntryType::Regular, name, "", "evil").unpack().1.is_err(), "{name}");
    }
    // Through links the path stays inside: the link is taken as one of the layer's own root.
    let through =
        |target: &str| Layer::new().raw(EntryType::Symlink, "way", target, "").raw(EntryType::Regular, "way/outside", "", "evil").unpack();
    for target in ["..", "/", "../..", "/proc/self/root"] {
        through(target).1.ok();
    }
    let (_, done) = Layer::new().raw(EntryType::Link, "l", "../outside", "").unpack();
    assert!(done.is_err());
    let (folder, _) = Layer::new()
        .raw(EntryType::Symlink, "s", "../outside", "")
        .raw(EntryType::Link, "l", "s", "")
        .raw(EntryType::Regular, "l", "", "evil")
        .unpack();
    assert_eq!(std::fs::read_to_string(folder.path().join("layer/l")).unwrap(), "evil");
}

#[test]
fn a_device_is_never_taken_for_a_whiteout() {
    assert!(Layer::new().raw(EntryType::Char, "x", "", "").unpack().1.is_err());
}

#[test]
fn a_torn_archive_is_an_error() {
    let mut bytes = Layer::new().raw(EntryType::Regular, "f", "", &"x".repeat(2000)).0.into_inner().unwrap();
    bytes.truncate(1200);
    let folder = tempfile::tempdir().unwrap();
    assert!(unpack(bytes.as_slice(), folder.path()).is_err());
}
