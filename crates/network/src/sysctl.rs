//! Kernel settings of the network namespace.
use crate::Error;
use std::path::PathBuf;

/// Writes a setting (`net/ipv4/ip_forward`) unless it has the value already.
pub fn set(name: &str, value: &str) -> Result<(), Error> {
    let path = PathBuf::from("/proc/sys").join(name);
    if std::fs::read_to_string(&path).is_ok_and(|current| current.trim() == value) {
        return Ok(());
    }
    std::fs::write(&path, value).map_err(|error| Error::Io { path, error })
}
