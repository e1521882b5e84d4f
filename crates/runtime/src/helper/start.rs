//! Starts a container: joins cgroups and namespaces, forks the first process, which builds its view of the file system and
//! becomes the program. The order is fixed: what needs the host's view comes before the pivot, what needs privilege before the
//! change of user, the seccomp filter last.
use super::{Reports, filesystem, init, join_cgroups, prefer_in_shortage, process, read_spec};
use crate::problem::{Doing, Outcome};
use crate::spec::{PidNamespace, Report, Root, StartSpec};
use crate::sys::{self, process::Forked};
use std::os::fd::AsFd;
use std::path::Path;

pub fn run(path: &Path, reports: &Reports) -> Outcome<()> {
    let spec: StartSpec = read_spec(path)?;
    sys::set_umask(0o022);
    prefer_in_shortage(spec.oom_score_adj);
    join_cgroups(&spec.cgroups)?;
    let sources = filesystem::open_sources(&spec)?;
    join_namespaces(&spec)?;
    match sys::process::fork().doing("fork")? {
        Forked::Parent(pid) => reports.send(&Report::Pid(pid), None),
        Forked::Child => {
            let Err(problem) = become_container(&spec, sources, reports);
            reports.send(&Report::Failed(problem.to_string()), None).ok();
            sys::process::exit_now(128)
        }
    }
}

fn join_namespaces(spec: &StartSpec) -> Outcome<()> {
    let wanted = &spec.namespaces;
    let joins = [(&wanted.ipc, libc::CLONE_NEWIPC), (&wanted.uts, libc::CLONE_NEWUTS), (&wanted.network, libc::CLONE_NEWNET)];
    for (path, kind) in joins {
        if let Some(path) = path {
            join(path, kind)?;
        }
    }
    match &wanted.pid {
        PidNamespace::Host => Ok(()),
        PidNamespace::New => sys::unshare(libc::CLONE_NEWPID).doing("make a process namespace"),
        PidNamespace::Join(path) => join(path, libc::CLONE_NEWPID),
    }
}

fn join(path: &Path, kind: i32) -> Outcome<()> {
    let namespace = std::fs::File::open(path).doing(format_args!("open namespace {}", path.display()))?;
    sys::join_namespace(namespace.as_fd(), kind).doing(format_args!("join namespace {}", path.display()))
}

fn become_container(spec: &StartSpec, sources: filesystem::Sources, reports: &Reports) -> Outcome<std::convert::Infallible> {
    sys::process::new_session().doing("start a session")?;
    sys::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWCGROUP).doing("make a mount and a cgroup namespace")?;
    sys::mount::propagate_all(libc::MS_SLAVE).doing("keep mounts from the host")?;
    if matches!(spec.root, Root::Nothing) {
        init::run(spec, reports)
    }
    filesystem::build(spec, sources)?;
    let identity = process::identify(&spec.process)?;
    reports.send(&Report::User(identity.ids.clone()), None)?;
    if spec.process.terminal {
        process::take_terminal(&identity, true, reports)?;
    }
    process::become_program(&spec.process, &identity, false)
}
