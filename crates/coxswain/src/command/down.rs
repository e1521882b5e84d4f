//! `coxswain down`: ends the instance and its containers; with `--purge` leaves the machine as it was.
use super::{block_on, print};
use crate::cli::DownArgs;
use crate::components::containers;
use crate::config::Config;
use crate::failure::{Doing, Failure};
use crate::instance;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// An instance that has not ended by then is killed: its store survives that.
const PATIENCE: Duration = Duration::from_secs(15);

pub fn run(arguments: &DownArgs) -> Result<ExitCode, Failure> {
    let asked = arguments.flags.settings()?;
    if !asked.data_dir.exists() {
        print(&format!("nothing to stop: {} is not there", asked.data_dir.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let (running, config) = instance::find(&asked)?;
    let config = Config { data_dir: asked.data_dir, ..config };
    if let Some(running) = &running {
        end(running.pid)?;
    }
    block_on(containers::stop_all(&config))?;
    ::kubelet::leave(&config.data_dir.join("kubelet"), Some(std::path::Path::new("/sys/fs/cgroup")), "")
        .doing("unmounting the pods' volumes")?;
    if arguments.purge {
        std::fs::remove_dir_all(&config.data_dir).doing(config.data_dir.display())?;
    }
    print(match (running.is_some(), arguments.purge) {
        (_, true) => "stopped, nothing is left",
        (true, false) => "stopped, the data stays",
        (false, false) => "it was not running",
    });
    Ok(ExitCode::SUCCESS)
}

/// Asks the process to end, waits, and at last makes it.
fn end(pid: u32) -> Result<(), Failure> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let begun = Instant::now();
    let mut signal = Some(Signal::TERM);
    while test_kill_process(pid).is_ok() {
        if let Some(signal) = signal.take() {
            kill_process(pid, signal).doing("the running instance cannot be stopped")?;
        } else if begun.elapsed() > PATIENCE {
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
