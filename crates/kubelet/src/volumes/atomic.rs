//! Writes a volume's files so that a reader sees all of the old ones or all of the new ones: a dated directory, and the link
//! `..data` renamed over the old one. User-visible names are links through `..data`.
use super::payload::{File, Files};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// Makes `dir` show exactly `files`; says whether anything changed. `stamp` names the new directory and must be new.
/// `own` sets the owner of everything below the new directory before it becomes visible.
pub fn write(dir: &Path, files: &Files, stamp: &str, own: impl Fn(&Path) -> io::Result<()>) -> io::Result<bool> {
    for path in files.keys() {
        check(path)?;
    }
    let old = fs::read_link(dir.join(DATA)).ok();
    if old.as_ref().is_some_and(|old| shows(&dir.join(old), files)) {
        link_names(dir, files)?;
        return Ok(false);
    }
    let fresh = dir.join(format!("..{stamp}"));
    fs::create_dir_all(&fresh)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755))?;
    for (path, file) in files {
        put(&fresh, path, file)?;
    }
    own(&fresh)?;
    let _ = fs::remove_file(dir.join(DATA_NEW));
    symlink(format!("..{stamp}"), dir.join(DATA_NEW))?;
    fs::rename(dir.join(DATA_NEW), dir.join(DATA))?;
    link_names(dir, files)?;
    if let Some(old) = old {
        fs::remove_dir_all(dir.join(old))?;
    }
    Ok(true)
}

fn check(path: &str) -> io::Result<()> {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if plain && !path.is_empty() && !path.starts_with("..") {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("invalid path: {path}")))
}

fn put(root: &Path, path: &str, file: &File) -> io::Result<()> {
    let whole = root.join(path);
    if let Some(parent) = whole.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&whole, &file.data)?;
    fs::set_permissions(&whole, fs::Permissions::from_mode(file.mode))?;
    match file.user {
        Some(user) => std::os::unix::fs::chown(&whole, Some(user), None),
        None => Ok(()),
    }
}

fn shows(root: &Path, files: &Files) -> bool {
    let mut there = Vec::new();
    if list(root, root, &mut there).is_err() || there.len() != files.len() {
        return false;
    }
    there.iter().all(|path| {
        let file = path.to_str().and_then(|path| files.get(path));
        file.is_some_and(|file| fs::read(root.join(path)).is_ok_and(|data| data == file.data))
    })
}

fn list(root: &Path, dir: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(root, &entry.path(), found)?;
        } else if let Ok(path) = entry.path().strip_prefix(root) {
            found.push(path.to_path_buf());
        }
    }
    Ok(())
}

fn link_names(dir: &Path, files: &Files) -> io::Result<()> {
    let names: BTreeSet<&str> = files.keys().filter_map(|path| path.split('/').next()).collect();
    for name in &names {
        if fs::symlink_metadata(dir.join(name)).is_err() {
            symlink(format!("{DATA}/{name}"), dir.join(name))?;
        }
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !names.contains(name.as_ref()) && entry.file_type()?.is_symlink() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter().map(|(path, data)| (path.to_string(), File { mode: 0o640, user: None, data: data.as_bytes().to_vec() })).collect()
    }

    #[test]
    fn names_follow_the_newest_data() {
        let dir = crate::testing::scratch("atomic");
        let write = |list: &[(&str, &str)], stamp: &str| write(&dir.path, &files(list), stamp, |_| Ok(())).unwrap();
        assert!(write(&[("a", "1"), ("d/b", "2")], "one"));
        assert!(!write(&[("a", "1"), ("d/b", "2")], "two"));
        assert!(write(&[("a", "3")], "three"));
        assert_eq!(fs::read_to_string(dir.path.join("a")).unwrap(), "3");
        let mut left: Vec<String> =
            fs::read_dir(&dir.path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["..data", "..three", "a"]);
        assert!(super::write(&dir.path, &files(&[("../x", "1")]), "four", |_| Ok(())).is_err());
    }
}
