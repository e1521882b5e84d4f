//! A command per file. Each takes its arguments and gives an exit code, or a failure that is told in one line.
mod down;
mod hello;
mod image;
mod serve_runtime;
mod single;
mod status;
mod up;

use crate::cli::{Cli, Command};
use crate::config::Component;
use crate::failure::Failure;
use clap::CommandFactory;
use std::process::ExitCode;

/// The version of Kubernetes whose API this is.
pub const KUBERNETES_VERSION: &str = "v1.37.0";

/// Helpers of the container runtime, started by ourselves under a name of their own, before any thread.
pub fn internal(arguments: &[String]) -> Option<ExitCode> {
    match arguments.get(1).map(String::as_str) {
        Some(runtime::HELPER) => Some(exit(runtime::helper_main(&arguments[2..]))),
        Some(runtime::KEEPER) => Some(exit(runtime::keeper_main(&arguments[2..]))),
        _ => None,
    }
}

fn exit(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

pub fn run(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Up(arguments) => up::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Down(arguments) => down::run(&arguments),
        Command::Apiserver(flags) => single::run(&flags, Component::Apiserver, None),
        Command::ControllerManager(flags) => single::run(&flags, Component::ControllerManager, None),
        Command::Scheduler(flags) => single::run(&flags, Component::Scheduler, None),
        Command::Kubelet(flags) => single::run(&flags, Component::Kubelet, None),
        Command::Proxy(flags) => single::run(&flags, Component::Proxy, None),
        Command::Dns(arguments) => single::run(&arguments.flags, Component::Dns, Some(arguments.listen)),
        Command::Runtime(arguments) => serve_runtime::run(&arguments),
        Command::Image(command) => image::run(&command),
        Command::Hello(arguments) => hello::run(&arguments),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "coxswain", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Version => {
            print(&format!("coxswain {} (Kubernetes {KUBERNETES_VERSION})", env!("CARGO_PKG_VERSION")));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A line for the user. A reader that has gone is no failure.
pub fn print(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Runs a future to its end on threads of its own.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("coxswain").build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    result
}
