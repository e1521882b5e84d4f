//! The helper: the binary run again for a moment, single-threaded, to become a container's process. It does what its spec says,
//! reports over descriptor 3, and never decides what a container may do. Nothing of it stays once the container runs.
mod exec;
mod filesystem;
mod init;
mod process;
mod start;
mod users;

use crate::problem::{Doing, Outcome, Problem};
use crate::spec::Report;
use crate::sys::socket;
use std::os::fd::OwnedFd;
use std::path::Path;

/// The first argument by which the binary knows that it is a helper.
pub const HELPER: &str = "runtime-helper";

/// Runs a helper: `start <spec file>` or `exec <spec file>`. The exit code is for `exec` that of the process.
pub fn helper_main(arguments: &[String]) -> i32 {
    let reports = Reports;
    let done = match arguments {
        [verb, path] if verb == "start" => start::run(Path::new(path), &reports).map(|()| 0),
        [verb, path] if verb == "exec" => exec::run(Path::new(path), &reports),
        _ => Err(Problem::invalid("runtime-helper: unknown arguments")),
    };
    done.unwrap_or_else(|problem| {
        reports.send(&Report::Failed(problem.to_string()), None).ok();
        // 128 is what other runtimes tell when a container could not be started.
        128
    })
}

/// The socket to whoever started the helper, always descriptor 3.
pub(crate) struct Reports;

impl Reports {
    pub const DESCRIPTOR: i32 = 3;

    fn send(&self, report: &Report, descriptor: Option<&OwnedFd>) -> Outcome<()> {
        let mut packet = serde_json::to_vec(report).map_err(Problem::failed)?;
        packet.truncate(socket::PACKET_LIMIT_BYTES);
        socket::send(crate::sys::descriptor(Self::DESCRIPTOR), &packet, descriptor).doing("report to the keeper")
    }
}

fn read_spec<T: serde::de::DeserializeOwned>(path: &Path) -> Outcome<T> {
    let text = std::fs::read(path).doing(format_args!("read {}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| Problem::failed(format_args!("{}: {error}", path.display())))
}

fn join_cgroups(procs: &[std::path::PathBuf]) -> Outcome<()> {
    for path in procs {
        std::fs::write(path, "0").doing(format_args!("join cgroup {}", path.display()))?;
    }
    Ok(())
}

/// The process's place in the OOM killer's queue.
fn prefer_in_shortage(score: i64) {
    // Lowering needs CAP_SYS_RESOURCE, which a host may lack: a worse place is not a failure.
    std::fs::write("/proc/self/oom_score_adj", score.to_string()).ok();
}
