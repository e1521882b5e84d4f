//! What the runtime says of one pod, in the few words that decisions need. Made from CRI answers by the driver.
use jiff::Timestamp;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Newest first.
    pub sandboxes: Vec<Sandbox>,
    /// Newest first.
    pub containers: Vec<Seen>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sandbox {
    pub id: String,
    pub attempt: u32,
    pub ready: bool,
    pub created_at: Timestamp,
    pub ips: Vec<String>,
    pub host_network: bool,
    pub runtime_handler: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    Created,
    Running,
    Exited,
    #[default]
    Unknown,
}

/// One container as the runtime knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    pub id: String,
    pub name: String,
    pub sandbox_id: String,
    pub restart_count: u32,
    pub state: State,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub exit_code: i32,
    pub reason: String,
    pub message: String,
    /// The image as the user named it, and the content that it stood for.
    pub image: String,
    pub image_ref: String,
    pub hash: String,
    pub log_path: String,
    pub stop_signal: Option<String>,
    pub user: Option<User>,
    pub resources: Option<Resources>,
    /// Kept by the kubelet for pods that the API no longer knows.
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct User {
    pub uid: i64,
    pub gid: i64,
    pub groups: Vec<i64>,
}

/// cgroup settings that the runtime reports for a running container.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Resources {
    pub cpu_shares: i64,
    pub cpu_quota: i64,
    pub cpu_period: i64,
    pub memory_limit_bytes: i64,
}

impl Observed {
    pub fn latest(&self, name: &str) -> Option<&Seen> {
        self.containers.iter().find(|seen| seen.name == name)
    }

    pub fn by_id(&self, id: &str) -> Option<&Seen> {
        self.containers.iter().find(|seen| seen.id == id)
    }

    /// The newest container of that name in the newest sandbox, if that one is ready.
    pub fn active(&self, name: &str) -> Option<&Seen> {
        let sandbox = self.sandboxes.first().filter(|sandbox| sandbox.ready)?;
        self.containers.iter().find(|seen| seen.name == name && seen.sandbox_id == sandbox.id)
    }

    pub fn running(&self) -> impl Iterator<Item = &Seen> {
        self.containers.iter().filter(|seen| matches!(seen.state, State::Running | State::Unknown))
    }

    pub fn ready_sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.first().filter(|sandbox| sandbox.ready)
    }
}
