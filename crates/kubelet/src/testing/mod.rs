//! What tests need: scratch directories that go away by themselves.
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

pub struct Scratch {
    pub path: PathBuf,
}

/// An empty directory of its own.
pub fn scratch(name: &str) -> Scratch {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("kubelet-{name}-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&path).expect("the temporary directory can be written");
    Scratch { path }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
