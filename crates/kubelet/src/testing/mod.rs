//! What tests need: scratch directories that go away by themselves.
pub mod story;

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

/// A pod `default/p` with uid `u` and this spec.
pub fn pod(mut spec: serde_json::Value) -> k8s_openapi::api::core::v1::Pod {
    if spec["containers"].is_null() {
        spec["containers"] = serde_json::json!([{"name": "a", "image": "img"}]);
    }
    let metadata = serde_json::json!({"name": "p", "namespace": "default", "uid": "u", "generation": 1});
    serde_json::from_value(serde_json::json!({"metadata": metadata, "spec": spec})).expect("a pod in JSON")
}
