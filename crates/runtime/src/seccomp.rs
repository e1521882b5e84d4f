//! System call filters: the runtime's default profile and profiles in the OCI/Docker JSON form, compiled to classic BPF.
//! A profile that cannot be carried out faithfully is refused, never silently weakened.
mod bpf;
mod default;
mod names;

use crate::problem::{Outcome, Problem};
use crate::spec::Seccomp;
use serde::Deserialize;

/// The filter for a process that will hold `capabilities` (bits); empty when there is none.
pub fn compile(wanted: &Seccomp, capabilities: u64) -> Outcome<Vec<libc::sock_filter>> {
    match wanted {
        Seccomp::Unconfined => Ok(Vec::new()),
        Seccomp::RuntimeDefault => bpf::assemble(&default::profile(), capabilities),
        Seccomp::Profile(text) => bpf::assemble(&parse(text)?, capabilities),
    }
}

/// Whether `text` is a profile that can be carried out.
pub fn parse(text: &str) -> Outcome<Profile> {
    serde_json::from_str(text).map_err(|error| Problem::invalid(format_args!("seccomp profile: {error}")))
}

#[derive(Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    default_action: String,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    names: Vec<String>,
    name: Option<String>,
    action: String,
    errno_ret: Option<u32>,
    args: Option<Vec<Argument>>,
    includes: Condition,
    excludes: Condition,
}

#[derive(Deserialize, Debug, Default)]
#[serde(default)]
struct Condition {
    caps: Vec<String>,
    arches: Vec<String>,
}

#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u32,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}
