//! What daemon and keeper say to each other: one JSON object a line. After `Attach` a connection carries frames instead:
//! a kind, a length of four bytes (big endian), the bytes.
use crate::spec::Identity;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The longest line and the longest frame either side takes.
pub const LINE_LIMIT_BYTES: usize = 1024 * 1024;

#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    Start(Start),
    Signal {
        id: String,
        signal: i32,
    },
    ReopenLog {
        id: String,
    },
    List,
    /// The container is gone for good: drop what is held of it.
    Forget {
        id: String,
    },
    /// From now on this connection hears of every exit.
    Subscribe,
    Attach {
        id: String,
        stdin: bool,
        stdout: bool,
        stderr: bool,
    },
    /// End, if nothing is running any more.
    Quit,
}

#[derive(Serialize, Deserialize, Debug, Default, Clone)]
#[serde(default)]
pub struct Start {
    pub id: String,
    /// Where `spec.json` lies and `exit.json` goes.
    pub folder: PathBuf,
    /// The program to run as helper.
    pub program: PathBuf,
    pub log: Option<PathBuf>,
    pub terminal: bool,
    pub stdin: bool,
    pub stdin_once: bool,
    /// The cgroup's file that counts OOM kills.
    pub oom_file: Option<PathBuf>,
}

#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    Done,
    Started(Held),
    Held(Vec<Held>),
    /// `started` is false when the program of a container could not be run.
    Failed(String),
    NotFound(String),
    /// To subscribers only.
    Exited(Exit),
}

/// A container in the keeper's hands.
#[derive(Serialize, Deserialize, Debug, Default, Clone)]
#[serde(default)]
pub struct Held {
    pub id: String,
    pub pid: i32,
    pub started_at_ns: i64,
    pub identity: Identity,
    pub exit: Option<Exit>,
}

/// How a container ended; also the content of `exit.json`.
#[derive(Serialize, Deserialize, Debug, Default, Clone, PartialEq, Eq)]
#[serde(default)]
pub struct Exit {
    pub id: String,
    pub pid: i32,
    /// The exit code, 128 + signal when killed by one.
    pub code: i32,
    pub started_at_ns: i64,
    pub finished_at_ns: i64,
    pub oom_killed: bool,
    /// Why it could not be started, if so.
    pub failure: Option<String>,
}

/// Kinds of frames on an attached connection.
pub mod frame {
    pub const STDIN: u8 = 0;
    pub const STDOUT: u8 = 1;
    pub const STDERR: u8 = 2;
    /// The container has ended: its code as text. The last frame.
    pub const EXIT: u8 = 3;
    /// Columns and rows, two bytes each, big endian.
    pub const RESIZE: u8 = 4;
    pub const STDIN_END: u8 = 5;
    pub const HEADER_BYTES: usize = 5;

    pub fn encode(kind: u8, data: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(HEADER_BYTES + data.len());
        frame.push(kind);
        frame.extend((data.len() as u32).to_be_bytes());
        frame.extend(data);
        frame
    }

    /// The first whole frame of `buffer`: its kind, and how many bytes of data follow the header.
    pub fn decode(buffer: &[u8]) -> Option<(u8, usize)> {
        let length = u32::from_be_bytes(buffer.get(1..HEADER_BYTES)?.try_into().ok()?) as usize;
        (buffer.len() >= HEADER_BYTES + length).then_some((buffer[0], length))
    }
}
