//! Runs one more program inside a running container: joins its namespaces through the process, forks, waits and ends with the
//! program's exit code. Dies with whoever asked for it.
use super::{Reports, join_cgroups, prefer_in_shortage, process, read_spec};
use crate::problem::{Doing, Outcome};
use crate::spec::{ExecSpec, Report};
use crate::sys::epoll::{Epoll, Interest};
use crate::sys::{self, process::Forked};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

pub fn run(path: &Path, reports: &Reports) -> Outcome<i32> {
    let spec: ExecSpec = read_spec(path)?;
    std::fs::remove_file(path).ok();
    sys::set_umask(0o022);
    let container = sys::process::open_process(spec.pid).doing("open the container's process")?;
    join_cgroups(&spec.cgroups)?;
    prefer_in_shortage(spec.oom_score_adj);
    sys::join_namespace(container.as_fd(), libc::CLONE_NEWPID).doing("join the process namespace")?;
    let (begun, begins) = sys::process::pipe().doing("make a pipe")?;
    match sys::process::fork().doing("fork")? {
        Forked::Parent(pid) => {
            reports.send(&Report::Pid(pid), None)?;
            drop(begins);
            // The child's end closes when its program begins, or when it has told why not.
            std::io::Read::read(&mut std::fs::File::from(begun), &mut [0]).doing("wait for the program")?;
            reports.send(&Report::Running, None)?;
            attend(pid)
        }
        Forked::Child => {
            drop(begun);
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
    process::become_program(&spec.process, &identity, true)
}

/// Waits for the program. When the caller's end of the socket closes, it is killed: nobody is there for its output.
fn attend(pid: i32) -> Outcome<i32> {
    let child = sys::process::open_process(pid).doing("watch the program")?;
    let events = Epoll::new().doing("watch the program")?;
    let read = Interest { read: true, write: false };
    events.add(&child, 0, read).doing("watch the program")?;
    events.add(sys::descriptor(Reports::DESCRIPTOR), 1, read).doing("watch the caller")?;
    sys::process::close_standard();
    loop {
        for ready in events.wait().doing("wait for the program")? {
            if ready.token == 0 {
                return Ok(sys::process::wait(pid).unwrap_or(255));
            }
            sys::process::signal_process(child.as_fd(), libc::SIGKILL).ok();
            events.remove(sys::descriptor(Reports::DESCRIPTOR));
        }
    }
}
