//! The store's directory: its format, its lock, and the names in it.
use rustix::fs::FlockOperation;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The format that this program reads and writes.
pub const FORMAT: u32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path} cannot be used: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is in use by {holder}: one process at a time may open a store")]
    Locked { path: PathBuf, holder: String },
    #[error(
        "{path} has the format {found:?}, this program knows {FORMAT}: run the version that wrote it, or restore a snapshot made by this one"
    )]
    Format { path: PathBuf, found: String },
    #[error(
        "{path} is damaged at byte {offset}: {what}; nothing of it is served. Restore a backup of the directory, or move this file away to lose what it holds"
    )]
    Corrupt { path: PathBuf, offset: u64, what: String },
}

/// Attaches the path to an I/O error.
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError + '_ {
    |source| OpenError::Io { path: path.into(), source }
}

/// A file of the store: what it begins after, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    pub revision: u64,
    pub path: PathBuf,
}

pub struct Directory {
    path: PathBuf,
    /// Held for the life of the process; the kernel lets go of it with the process.
    _lock: File,
}

impl Directory {
    pub fn open(path: &Path) -> Result<Directory, OpenError> {
        fs::create_dir_all(path).map_err(at(path))?;
        let lock = lock(&path.join("lock"))?;
        let directory = Directory { path: path.into(), _lock: lock };
        directory.check_format()?;
        Ok(directory)
    }

    pub fn snapshot(&self, revision: u64) -> PathBuf {
        self.path.join(format!("snapshot-{revision:020}"))
    }

    pub fn log(&self, revision: u64) -> PathBuf {
        self.path.join(format!("log-{revision:020}"))
    }

    pub fn snapshots(&self) -> Result<Vec<Part>, OpenError> {
        self.parts("snapshot-")
    }

    pub fn logs(&self) -> Result<Vec<Part>, OpenError> {
        self.parts("log-")
    }

    /// Makes names durable: what was created, renamed or removed in here.
    pub fn sync(&self) -> Result<(), OpenError> {
        File::open(&self.path).and_then(|dir| dir.sync_all()).map_err(at(&self.path))
    }

    fn parts(&self, prefix: &str) -> Result<Vec<Part>, OpenError> {
        let mut parts = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(at(&self.path))? {
            let entry = entry.map_err(at(&self.path))?;
            let name = entry.file_name();
            let revision = name.to_str().and_then(|name| name.strip_prefix(prefix)).and_then(|digits| digits.parse().ok());
            parts.extend(revision.map(|revision| Part { revision, path: entry.path() }));
        }
        parts.sort();
        Ok(parts)
    }

    fn check_format(&self) -> Result<(), OpenError> {
        let path = self.path.join("FORMAT");
        match fs::read_to_string(&path) {
            Ok(found) if found.trim() == FORMAT.to_string() => Ok(()),
            Ok(found) => Err(OpenError::Format { path: self.path.clone(), found: found.trim().into() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let write = || -> io::Result<()> {
                    let mut file = File::create(&path)?;
                    writeln!(file, "{FORMAT}")?;
                    file.sync_all()
                };
                write().map_err(at(&path))?;
                self.sync()
            }
            Err(error) => Err(at(&path)(error)),
        }
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(at(path))?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        let _ = file.read_to_string(&mut holder);
        let holder = if holder.is_empty() { "another process".into() } else { format!("process {}", holder.trim()) };
        return Err(OpenError::Locked { path: path.parent().unwrap_or(path).into(), holder });
    }
    let write = |file: &mut File| -> io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(at(path))?;
    Ok(file)
}
