//! The one running instance per data directory: a lock file that holds its process id and settings for as long as it lives.
use crate::config::Config;
use crate::failure::{Doing, Failure};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// What the lock file says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    pub pid: u32,
    pub config: Config,
}

/// Held by the running instance.
pub struct Lock(File);

impl Lock {
    /// `Err(Running)`: somebody else has it.
    pub fn take(config: &Config) -> Result<Result<Lock, Running>, Failure> {
        let dir = config.run_dir();
        fs::create_dir_all(&dir).doing(dir.display())?;
        let path = dir.join("instance.json");
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path).doing(path.display())?;
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(Err(read(&file, &path)?));
        }
        let mut lock = Lock(file);
        lock.write(&Running { pid: std::process::id(), config: config.clone() }).doing(path.display())?;
        Ok(Ok(lock))
    }

    fn write(&mut self, running: &Running) -> std::io::Result<()> {
        self.0.set_len(0)?;
        self.0.rewind()?;
        self.0.write_all(&serde_json::to_vec(running)?)?;
        self.0.sync_data()
    }
}

/// The instance that has the data directory, if any; with the settings of the last one otherwise.
pub fn find(config: &Config) -> Result<(Option<Running>, Config), Failure> {
    let path = config.run_dir().join("instance.json");
    let Ok(file) = File::open(&path) else { return Ok((None, config.clone())) };
    let free = rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_ok();
    match read(&file, &path) {
        Ok(running) if free => Ok((None, running.config)),
        Ok(running) => Ok((Some(running.clone()), running.config)),
        Err(_) if free => Ok((None, config.clone())),
        Err(failure) => Err(failure),
    }
}

fn read(mut file: &File, path: &Path) -> Result<Running, Failure> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text).doing(path.display())?;
    serde_json::from_str(&text).doing(path.display())
}
