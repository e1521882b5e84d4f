//! Runs one more program inside a running container: joins its namespaces through the process, forks, waits and ends with the
//! program's exit code. Dies with whoever asked for it.
use super::{Reports, join_cgroups, process, read_spec};
use crate::problem::{Doing, Outcome};
use crate::spec::{ExecSpec, Report};
use crate::sys::{self, process::Forked};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

pub fn run(path: &Path, reports: &Reports) -> Outcome<i32> {
    let spec: ExecSpec = read_spec(path)?;
    std::fs::remove_file(path).ok();
    sys::set_umask(0o022);
    let container = sys::process::open_process(spec.pid).doing("open the container's process")?;
    join_cgroups(&spec.cgroups)?;
    sys::process::die_with_parent(libc::SIGKILL).doing("tie to the caller")?;
    sys::join_namespace(container.as_fd(), libc::CLONE_NEWPID).doing("join the process namespace")?;
    match sys::process::fork().doing("fork")? {
        Forked::Parent(pid) => {
            reports.send(&Report::Pid(pid), None)?;
            sys::process::close_all_from(0);
            Ok(sys::process::wait(pid).unwrap_or(255))
        }
        Forked::Child => {
            let Err(problem) = become_program(&spec, container.as_fd(), reports);
            reports.send(&Report::Failed(problem.to_string()), None).ok();
            sys::process::exit_now(126)
        }
    }
}

fn become_program(spec: &ExecSpec, container: BorrowedFd<'_>, reports: &Reports) -> Outcome<std::convert::Infallible> {
    sys::process::new_session().doing("start a session")?;
    let kinds = libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWNET | libc::CLONE_NEWCGROUP;
    sys::join_namespace(container, kinds).doing("join the container's namespaces")?;
    let identity = process::identify(&spec.process)?;
    if spec.process.terminal {
        process::take_terminal(&identity, false, reports)?;
    }
    process::become_program(&spec.process, &identity)
}
