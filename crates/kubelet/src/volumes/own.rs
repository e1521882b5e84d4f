//! Gives a volume to the pod's fsGroup: the group owns everything, directories hand it on.
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

const READ_WRITE: u32 = 0o660;
const READ_ONLY: u32 = 0o440;
const ENTER: u32 = 0o110;
const SET_GROUP: u32 = 0o2000;

pub fn give(path: &Path, group: u32, read_only: bool) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    lchown(path, None, Some(group))?;
    if found.is_symlink() {
        return Ok(());
    }
    let mut mode = found.mode() & 0o7777 | if read_only { READ_ONLY } else { READ_WRITE };
    if found.is_dir() {
        mode |= SET_GROUP | ENTER;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), group, read_only)?;
        }
    }
    Ok(())
}

/// `OnRootMismatch`: nothing to do when the top is right already.
pub fn is_given(path: &Path, group: u32) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.gid() == group && found.mode() & (SET_GROUP | READ_WRITE) == SET_GROUP | READ_WRITE)
}
