//! A sandbox's namespaces without a process in them: made by a thread of its own and held by binding their files into the state
//! folder, with the pod's shared memory beside them.
use crate::problem::{Doing, Outcome, Problem};
use crate::sys::{self, mount};
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub network: bool,
    pub ipc: bool,
    /// The name that the pod's own UTS namespace gives; `None` shares the host's.
    pub host_name: Option<String>,
    pub sysctls: HashMap<String, String>,
}

const SHARED_MEMORY: &str = "mode=1777,size=67108864";

pub fn network(folder: &Path) -> PathBuf {
    folder.join("net")
}

pub fn ipc(folder: &Path) -> PathBuf {
    folder.join("ipc")
}

pub fn uts(folder: &Path) -> PathBuf {
    folder.join("uts")
}

pub fn shared_memory(folder: &Path) -> PathBuf {
    folder.join("shm")
}

/// Makes the namespaces in `folder`. Blocking.
pub fn create(folder: &Path, wanted: &Wanted) -> Outcome<()> {
    let (folder, wanted) = (folder.to_owned(), wanted.clone());
    on_own_thread(move || make(&folder, &wanted))
}

/// A thread that ends with its work: its namespaces are not those of the process any more.
fn on_own_thread<T: Send + 'static>(work: impl FnOnce() -> Outcome<T> + Send + 'static) -> Outcome<T> {
    let thread = std::thread::Builder::new().name("namespaces".into()).spawn(work).doing("start a thread")?;
    thread.join().unwrap_or_else(|_| Err(Problem::failed("the thread for namespaces panicked")))
}

fn make(folder: &Path, wanted: &Wanted) -> Outcome<()> {
    let choose = |on: bool, flag: i32| if on { flag } else { 0 };
    let flags = choose(wanted.network, libc::CLONE_NEWNET)
        | choose(wanted.ipc, libc::CLONE_NEWIPC)
        | choose(wanted.host_name.is_some(), libc::CLONE_NEWUTS);
    sys::unshare(flags).doing("make the sandbox's namespaces")?;
    if wanted.network {
        sys::loopback_up().doing("bring the loopback link up")?;
    }
    if let Some(name) = &wanted.host_name {
        sys::set_host_name(name).doing("set the host name")?;
    }
    for (name, value) in &wanted.sysctls {
        let path = sysctl_path(name)?;
        std::fs::write(&path, value).doing(format_args!("set sysctl {name} to {value:?}"))?;
    }
    let kept =
        [(wanted.network, "net", network(folder)), (wanted.ipc, "ipc", ipc(folder)), (wanted.host_name.is_some(), "uts", uts(folder))];
    for (_, kind, place) in kept.iter().filter(|(wanted, ..)| *wanted) {
        File::create(place).doing(format_args!("make {}", place.display()))?;
        mount::bind(&Path::new("/proc/thread-self/ns").join(kind), place).doing(format_args!("hold the {kind} namespace"))?;
    }
    if wanted.ipc {
        let place = shared_memory(folder);
        std::fs::create_dir_all(&place).doing("make a place for shared memory")?;
        mount::mount("tmpfs", &place, libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC, SHARED_MEMORY).doing("mount shared memory")?;
    }
    Ok(())
}

/// `net.core.somaxconn` or `net/core/somaxconn`; a name never leads out of /proc/sys.
fn sysctl_path(name: &str) -> Outcome<PathBuf> {
    let path = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
    let fits = path.split('/').all(|part| !part.is_empty() && part != "..");
    let namespaced = ["net/", "kernel/shm", "kernel/msg", "kernel/sem", "fs/mqueue/"].iter().any(|prefix| path.starts_with(prefix));
    if !fits || !namespaced {
        return Err(Problem::invalid(format_args!("sysctl {name:?} is not one of a pod's own namespaces")));
    }
    Ok(Path::new("/proc/sys").join(path))
}

/// Lets go of everything that `create` made; what is not there is no error.
pub fn remove(folder: &Path) {
    for place in [network(folder), ipc(folder), uts(folder), shared_memory(folder)] {
        while mount::detach(&place).is_ok() {}
    }
}

/// Runs `work` inside the network namespace held by `folder`, or the host's if it holds none. Blocking.
pub fn in_network<T: Send + 'static>(folder: &Path, work: impl FnOnce() -> Outcome<T> + Send + 'static) -> Outcome<T> {
    let path = network(folder);
    on_own_thread(move || {
        if path.exists() {
            let namespace = File::open(&path).doing("open the network namespace")?;
            sys::join_namespace(std::os::fd::AsFd::as_fd(&namespace), libc::CLONE_NEWNET).doing("join the network namespace")?;
        }
        work()
    })
}

/// Whether an overlay can be mounted with its writable part in `folder`. The mount is seen by nobody and goes with its thread.
pub fn try_overlay(folder: &Path) -> Outcome<()> {
    let place = folder.join("overlay-trial");
    let parts = ["lower", "upper", "work", "mount"].map(|name| place.join(name));
    parts.iter().try_for_each(std::fs::create_dir_all).doing("make folders for a trial")?;
    let [lower, upper, work, target] = parts;
    let tried = on_own_thread(move || {
        sys::unshare(libc::CLONE_NEWNS).doing("make a mount namespace")?;
        mount::propagate_all(libc::MS_PRIVATE).doing("keep mounts from the host")?;
        let options = format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
        mount::mount("overlay", &target, 0, &options).doing("mount an overlay")
    });
    std::fs::remove_dir_all(&place).doing("clean up after a trial")?;
    tried
}
