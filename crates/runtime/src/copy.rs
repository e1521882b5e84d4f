//! The fallback where overlay cannot be used: layers copied one over the other into a folder, whiteouts carried out.
use crate::problem::{Doing, Outcome, Problem};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Copies `layers` (the lowest first) into `target`. Blocking.
pub fn flatten(layers: &[PathBuf], target: &Path) -> Outcome<()> {
    std::fs::create_dir_all(target).doing("make the root")?;
    for layer in layers {
        hide(layer, layer, target)?;
        // `cp` keeps owners, links, devices, attributes and holes, and is on every node.
        let copied = std::process::Command::new("cp").arg("-a").arg(layer.join(".")).arg(target).output().doing("run cp")?;
        if !copied.status.success() {
            return Err(Problem::failed(format_args!("copy {}: {}", layer.display(), String::from_utf8_lossy(&copied.stderr).trim())));
        }
        unhide(layer, layer, target)?;
    }
    Ok(())
}

fn whiteouts(folder: &Path, layer: &Path, found: &mut impl FnMut(&Path) -> Outcome<()>) -> Outcome<()> {
    for entry in std::fs::read_dir(folder).doing("read a layer")?.flatten() {
        let (path, kind) = (entry.path(), entry.file_type().doing("read a layer")?);
        if kind.is_dir() {
            whiteouts(&path, layer, found)?;
        } else if kind.is_char_device() && entry.metadata().doing("read a layer")?.rdev() == 0 {
            found(path.strip_prefix(layer).map_err(Problem::failed)?)?;
        }
    }
    Ok(())
}

/// Removes from the target what the layer hides, and what stands in the way of it.
fn hide(folder: &Path, layer: &Path, target: &Path) -> Outcome<()> {
    whiteouts(folder, layer, &mut |path| remove(&target.join(path)))
}

/// Removes the copies of the whiteouts themselves.
fn unhide(folder: &Path, layer: &Path, target: &Path) -> Outcome<()> {
    hide(folder, layer, target)
}

fn remove(path: &Path) -> Outcome<()> {
    match std::fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(data) if data.is_dir() => std::fs::remove_dir_all(path).doing("hide a folder"),
        Ok(_) => std::fs::remove_file(path).doing("hide a file"),
    }
}
