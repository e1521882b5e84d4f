//! The last steps before a program runs: terminal, working folder, user, capabilities, seccomp, exec. Shared by containers and
//! by what is executed in them.
use super::Reports;
use super::users::{self, Known};
use crate::problem::{Doing, Outcome, Problem};
use crate::seccomp;
use crate::spec::{Process, Report};
use crate::sys::{self, credentials};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub fn identify(process: &Process) -> Outcome<Known> {
    users::resolve(&process.user)
}

/// Opens a terminal in the container, makes it descriptors 0 to 2 and sends its master away. `console`: also as /dev/console.
pub fn take_terminal(known: &Known, console: bool, reports: &Reports) -> Outcome<()> {
    let (master, slave, number) = sys::process::open_terminal().doing("open a terminal")?;
    sys::process::change_owner(&slave, known.ids.uid, known.ids.gid).ok();
    if console {
        std::fs::File::create("/dev/console").doing("create /dev/console")?;
        sys::mount::bind(&PathBuf::from(format!("/dev/pts/{number}")), Path::new("/dev/console")).doing("mount /dev/console")?;
    }
    sys::process::take_terminal(&slave).doing("take the terminal")?;
    for number in 0..3 {
        sys::process::place_descriptor(&slave, number).doing("place the terminal")?;
    }
    reports.send(&Report::Terminal, Some(&master))
}

/// Becomes the program. Returns only when that fails.
pub fn become_program(process: &Process, known: &Known, tied: bool) -> Outcome<std::convert::Infallible> {
    let environment = environment(process, known);
    let filter = seccomp::compile(&process.seccomp, process.capabilities)?;
    sys::process::close_on_exec_from(3).doing("close descriptors at exec")?;
    enter_folder(&process.folder)?;
    sys::process::reset_signals();
    // Without no_new_privs the filter needs privilege, so it comes first; with it, it comes last and filters less of our own.
    if !process.no_new_privileges {
        install(&filter)?;
    }
    credentials::bound_capabilities(process.capabilities).doing("bound capabilities")?;
    credentials::become_user(known.ids.uid, known.ids.gid, &known.ids.groups).doing("change user")?;
    // The working folder may be one that only the user can enter, or one that root's remaining capabilities could.
    std::env::set_current_dir(folder(&process.folder))
        .doing(format_args!("chdir to cwd ({:?}) set in config.json failed", process.folder))?;
    let program = find_program(process, &environment)?;
    credentials::set_capabilities(process.capabilities).doing("set capabilities")?;
    if process.no_new_privileges {
        sys::process::no_new_privileges().doing("set no_new_privs")?;
        install(&filter)?;
    }
    if tied {
        // After the change of user, which would undo it.
        sys::process::die_with_parent(libc::SIGKILL).doing("tie to the helper")?;
    }
    let arguments = sys::c_strings(&process.arguments).doing("read the arguments")?;
    let environment = sys::c_strings(&environment).doing("read the environment")?;
    let error = sys::process::exec(&program, &arguments, &environment);
    Err(Problem::failed(format_args!("exec: {:?}: {error}", process.arguments[0])))
}

fn install(filter: &[libc::sock_filter]) -> Outcome<()> {
    if filter.is_empty() {
        return Ok(());
    }
    credentials::filter_system_calls(filter).doing("install the seccomp filter")
}

fn folder(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

fn enter_folder(path: &str) -> Outcome<()> {
    let path = folder(path);
    if !Path::new(path).exists() {
        // A read-only root without the folder: the chdir that follows tells.
        std::fs::create_dir_all(path).ok();
    }
    Ok(())
}

fn environment(process: &Process, known: &Known) -> Vec<String> {
    let mut environment = process.environment.clone();
    let has = |environment: &[String], name: &str| environment.iter().any(|one| one.starts_with(name));
    if !has(&environment, "PATH=") {
        environment.push(format!("PATH={DEFAULT_PATH}"));
    }
    if process.terminal && !has(&environment, "TERM=") {
        environment.push("TERM=xterm".into());
    }
    if !has(&environment, "HOME=") {
        environment.push(format!("HOME={}", known.home));
    }
    environment
}

fn find_program(process: &Process, environment: &[String]) -> Outcome<PathBuf> {
    let name = process.arguments.first().filter(|name| !name.is_empty()).ok_or_else(|| Problem::failed("no command specified"))?;
    if name.contains('/') {
        return match std::fs::metadata(name) {
            Err(error) => Err(Problem::failed(format_args!("exec: {name:?}: stat {name}: {}", plain(&error)))),
            Ok(data) if data.is_dir() => Err(Problem::failed(format_args!("exec: {name:?}: is a directory"))),
            Ok(data) if data.permissions().mode() & 0o111 == 0 => Err(Problem::failed(format_args!("exec: {name:?}: permission denied"))),
            Ok(_) => Ok(PathBuf::from(name)),
        };
    }
    let path = environment.iter().rev().find_map(|one| one.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    path.split(':')
        .map(|folder| Path::new(if folder.is_empty() { "." } else { folder }).join(name))
        .find(|candidate| std::fs::metadata(candidate).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0))
        .ok_or_else(|| Problem::failed(format_args!("exec: {name:?}: executable file not found in $PATH")))
}

fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}
