//! What the daemon hands to a helper: everything a container start needs, decided beforehand. Plain data, written to the
//! container's folder as JSON; unknown fields are ignored and absent ones have defaults, so daemon and keeper may differ in version.
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(default)]
pub struct StartSpec {
    pub root: Root,
    /// An empty folder on which the root is mounted, inside the container's own mount namespace.
    pub mount_point: PathBuf,
    pub read_only_root: bool,
    pub namespaces: Namespaces,
    /// The `cgroup.procs` files to join.
    pub cgroups: Vec<PathBuf>,
    pub mounts: Vec<Mount>,
    pub devices: Vec<Device>,
    pub masked_paths: Vec<String>,
    pub read_only_paths: Vec<String>,
    /// /sys and /sys/fs/cgroup writable, no device left out.
    pub privileged: bool,
    pub oom_score_adj: i64,
    pub process: Process,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub enum Root {
    /// Layers, the topmost first, relative to `layers`; writes go to `upper`.
    Overlay { layers: PathBuf, lower: Vec<String>, upper: PathBuf, work: PathBuf },
    /// A folder used as it is.
    Folder(PathBuf),
    /// No file system at all: the first process of a shared process namespace.
    #[default]
    Nothing,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(default)]
pub struct Namespaces {
    /// Paths of namespaces to join; `None` stays in the host's.
    pub network: Option<PathBuf>,
    pub ipc: Option<PathBuf>,
    pub uts: Option<PathBuf>,
    pub pid: PidNamespace,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub enum PidNamespace {
    #[default]
    New,
    Host,
    Join(PathBuf),
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(default)]
pub struct Mount {
    pub source: Source,
    pub destination: String,
    pub read_only: bool,
    pub recursive_read_only: bool,
    pub propagation: Propagation,
    pub no_exec: bool,
    pub no_suid: bool,
    pub no_dev: bool,
}

#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    Host(PathBuf),
    /// An image's files, read-only: layers as in `Root::Overlay`, and a path within them.
    Layers {
        layers: PathBuf,
        lower: Vec<String>,
        path: String,
    },
}

impl Default for Source {
    fn default() -> Source {
        Source::Host(PathBuf::new())
    }
}

#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Propagation {
    #[default]
    Private,
    FromHost,
    Both,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(default)]
pub struct Device {
    pub path: String,
    pub block: bool,
    pub major: u32,
    pub minor: u32,
    pub mode: u32,
    pub user: u32,
    pub group: u32,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(default)]
pub struct Process {
    pub arguments: Vec<String>,
    pub environment: Vec<String>,
    pub folder: String,
    pub user: User,
    /// Bits of the capabilities to hold.
    pub capabilities: u64,
    pub no_new_privileges: bool,
    pub seccomp: Seccomp,
    pub terminal: bool,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(default)]
pub struct User {
    /// A user as an image names it: `user`, `uid`, `user:group`; empty is root. Looked up in the container's own files.
    pub name: String,
    pub group: Option<u32>,
    pub supplemental_groups: Vec<u32>,
    /// Leave out the groups that the image's /etc/group lists for the user.
    pub strict_groups: bool,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub enum Seccomp {
    #[default]
    Unconfined,
    RuntimeDefault,
    /// The text of a profile in the OCI/Docker JSON form.
    Profile(String),
}

/// A process that joins a running container.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(default)]
pub struct ExecSpec {
    pub pid: i32,
    pub cgroups: Vec<PathBuf>,
    pub oom_score_adj: i64,
    pub process: Process,
}

/// What a helper reports on its socket, a packet each.
#[derive(Serialize, Deserialize, Debug, Clone)]
#[serde(rename_all = "camelCase")]
pub enum Report {
    /// The container's first process, as the host numbers it.
    Pid(i32),
    /// Who it runs as.
    User(Identity),
    /// The terminal's master comes with this packet.
    Terminal,
    /// The program has begun; only of an executed one, whose helper stays.
    Running,
    /// It could not be started; the last packet.
    Failed(String),
}

#[derive(Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(default)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}
