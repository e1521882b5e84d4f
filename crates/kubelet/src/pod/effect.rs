//! What a step asks the driver to do, and what the driver tells back.
use crate::pod::probe::ProbeKind;
use crate::pod::view::Role;
use jiff::Timestamp;

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make the pod's directories and cgroups and mount its volumes.
    Prepare,
    CreateSandbox {
        attempt: u32,
    },
    Start(Start),
    /// Stop these containers, in parallel.
    Kill(Vec<Kill>),
    /// Stop all containers in the order that sidecars ask for, then the sandboxes.
    KillPod {
        grace_seconds: i64,
        kills: Vec<Kill>,
        sandboxes: Vec<String>,
    },
    /// Forget dead containers and sandboxes.
    Remove {
        containers: Vec<String>,
        sandboxes: Vec<String>,
    },
    /// Bring a running container's cgroup to what the spec says now.
    Resize {
        id: String,
        name: String,
    },
    /// One probe, beside everything else.
    Probe {
        id: String,
        name: String,
        kind: ProbeKind,
    },
    /// Tell the user. `container` names the field that the event is about.
    Event {
        warning: bool,
        reason: &'static str,
        message: String,
        container: Option<String>,
    },
    /// Give up what is being done now; something more urgent came.
    Abort,
    /// Unmount the volumes and remove cgroups.
    CleanUp,
    /// Write the last status, then remove the object from the API.
    DeleteObject,
    /// Remove containers, sandboxes, logs and the directory of the pod.
    Erase,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    pub name: String,
    pub role: Role,
    /// `None`: the driver counts the logs that are left.
    pub restart_count: Option<u32>,
    pub sandbox_id: String,
    pub sandbox_attempt: u32,
    /// If the image has to be pulled, not before this, and why.
    pub pull_after: Option<(Timestamp, String)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Kill {
    pub id: String,
    pub name: String,
    /// Empty: `Stopping container <name>`.
    pub message: String,
    pub grace_seconds: i64,
}

/// Why a container or sandbox waits: reason and message as the status shows them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Waiting {
    pub reason: String,
    pub message: String,
}

impl Waiting {
    pub fn new(reason: &str, message: impl Into<String>) -> Waiting {
        Waiting { reason: reason.into(), message: message.into() }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Prepared(Result<(), String>),
    SandboxCreated(Result<String, String>),
    Started { name: String, image: String, result: Result<String, Waiting> },
    Killed { id: String, result: Result<(), String> },
    PodKilled(Result<(), String>),
    Removed(Result<(), String>),
    Resized { id: String, result: Result<(), String> },
    Probed { id: String, kind: ProbeKind, success: Option<bool> },
    CleanedUp(Result<(), String>),
    ObjectDeleted(Result<(), String>),
    Erased(Result<(), String>),
}
