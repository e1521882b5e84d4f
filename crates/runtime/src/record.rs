//! What is known of sandboxes and containers, as it lies on disk: one JSON file each, replaced whole. The CRI messages inside are
//! kept in their own encoding, so nothing of a request is lost.
use crate::keeper::protocol::Exit;
use crate::problem::{Doing, Outcome, Problem};
use crate::spec::Identity;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cri::v1::{ContainerConfig, LinuxContainerResources, PodSandboxConfig};
use serde::{Deserialize, Serialize};
use std::path::Path;

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(default)]
pub struct SandboxRecord {
    pub id: String,
    #[serde(with = "message")]
    pub config: PodSandboxConfig,
    pub runtime_handler: String,
    pub created_at_ns: i64,
    /// False from the moment it is stopped, and before it is whole.
    pub ready: bool,
    pub addresses: Vec<String>,
    pub network_attached: bool,
    /// Whether the keeper holds a first process for a shared process namespace, and its number.
    pub init_pid: i32,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(default)]
pub struct ContainerRecord {
    pub id: String,
    pub sandbox: String,
    #[serde(with = "message")]
    pub config: ContainerConfig,
    #[serde(with = "message")]
    pub resources: LinuxContainerResources,
    pub image_id: String,
    /// A name with digest by which the image can be had again, or its id.
    pub image_reference: String,
    pub diff_ids: Vec<String>,
    pub log_path: String,
    pub cgroup: String,
    pub stop_signal: i32,
    pub created_at_ns: i64,
    pub pid: i32,
    pub started_at_ns: i64,
    pub identity: Option<Identity>,
    pub exit: Option<Exit>,
    /// The keeper was lost while it ran: its exit code is not known.
    pub lost: bool,
}

impl ContainerRecord {
    pub fn is_running(&self) -> bool {
        self.started_at_ns != 0 && self.exit.is_none()
    }
}

pub fn save(path: &Path, record: &impl Serialize) -> Outcome<()> {
    let draft = path.with_extension("json.new");
    let text = serde_json::to_vec(record).map_err(Problem::failed)?;
    // Not synced: after a crash of the machine nothing of what it tells runs any more.
    std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, path)).doing(format_args!("write {}", path.display()))
}

pub fn load<T: serde::de::DeserializeOwned>(path: &Path) -> Outcome<T> {
    let text = std::fs::read(path).doing(format_args!("read {}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| Problem::failed(format_args!("{}: {error}", path.display())))
}

/// CRI messages as base64 of their protobuf form.
mod message {
    use super::*;

    pub fn serialize<T: prost::Message, S: serde::Serializer>(message: &T, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(message.encode_to_vec()))
    }

    pub fn deserialize<'de, T: prost::Message + Default, D: serde::Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        let bytes = STANDARD.decode(String::deserialize(from)?).map_err(serde::de::Error::custom)?;
        T::decode(bytes.as_slice()).map_err(serde::de::Error::custom)
    }
}
