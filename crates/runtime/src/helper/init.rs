//! The first process of a process namespace that the containers of a pod share: it reaps orphans and nothing else. It has an
//! empty read-only root and no capability, so that /proc/1 of the pod leads nowhere.
use super::Reports;
use crate::problem::{Doing, Outcome};
use crate::spec::{Report, StartSpec};
use crate::sys;

const NOBODY: u32 = 65535;

pub fn run(spec: &StartSpec, reports: &Reports) -> ! {
    if let Err(problem) = retreat(spec) {
        reports.send(&Report::Failed(problem.to_string()), None).ok();
        sys::process::exit_now(128);
    }
    sys::process::reset_signals();
    for signal in [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT] {
        sys::process::notice_signal(signal);
    }
    sys::process::close_all_from(0);
    loop {
        while sys::process::reap_one().is_some() {}
        sys::process::pause();
    }
}

fn retreat(spec: &StartSpec) -> Outcome<()> {
    sys::mount::mount("tmpfs", &spec.mount_point, libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC, "size=4k,mode=755")
        .doing("mount an empty root")?;
    sys::mount::pivot_into(&spec.mount_point).doing("change into the empty root")?;
    sys::mount::change_path(std::path::Path::new("/"), sys::mount::Change { read_only: true, ..Default::default() })
        .doing("make the empty root read-only")?;
    sys::credentials::bound_capabilities(0).doing("drop capabilities")?;
    sys::credentials::become_user(NOBODY, NOBODY, &[]).doing("become nobody")?;
    sys::credentials::set_capabilities(0).doing("drop capabilities")?;
    sys::process::no_new_privileges().doing("set no_new_privs")
}
