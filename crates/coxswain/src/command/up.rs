//! `coxswain up`: starts the cluster in the background and waits until it is ready, or stays in the foreground.
use super::{block_on, print};
use crate::cli::UpArgs;
use crate::components::containers;
use crate::config::Config;
use crate::failure::{Doing, Failure};
use crate::instance;
use crate::progress::READY;
use crate::{daemon, logs};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// Set in the environment of the process in the background.
const BACKGROUND: &str = "COXSWAIN_BACKGROUND";

pub fn run(arguments: &UpArgs) -> Result<ExitCode, Failure> {
    let config = arguments.flags.settings()?;
    let background = std::env::var_os(BACKGROUND).is_some();
    if background {
        let _ = rustix::process::setsid(); // it outlives the terminal
    }
    if !background && let (Some(running), _) = instance::find(&config)? {
        print(&format!("coxswain is already running on {} (process {})", config.data_dir.display(), running.pid));
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.foreground || background {
        logs::start(&config.log_level);
        return block_on(daemon::run(config)).map(|()| ExitCode::SUCCESS);
    }
    start(&config)?;
    if let Some(path) = &arguments.write_kubeconfig {
        copy_kubeconfig(&config, path)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts ourselves again in the background; passes its lines on until it is ready.
fn start(config: &Config) -> Result<(), Failure> {
    let existed = config.data_dir.exists();
    std::fs::create_dir_all(&config.data_dir).doing(config.data_dir.display())?;
    let path = config.data_dir.join("coxswain.log");
    let log = File::options().create(true).append(true).open(&path).doing(path.display())?;
    let program = std::env::current_exe()?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(BACKGROUND, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .doing("the background process cannot be started")?;
    let lines = child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
    let mut said = String::new();
    for line in lines.map_while(Result::ok) {
        if line == READY {
            print(&format!("kubeconfig       {}", config.admin_kubeconfig().display()));
            return Ok(());
        }
        match line.strip_prefix("error: ") {
            Some(error) => said = error.into(),
            None => print(&line),
        }
    }
    let _ = child.wait();
    if !existed {
        // Nothing was there before: nothing stays behind, the runtime's keeper included.
        let _ = block_on(containers::stop_all(config));
        let _ = std::fs::remove_dir_all(&config.data_dir);
    }
    let more = if existed { format!(" (more in {})", path.display()) } else { String::new() };
    Err(Failure(if said.is_empty() { format!("the cluster did not start{more}") } else { format!("{said}{more}") }))
}

/// The file belongs to the user: an existing one is replaced only because it was named.
fn copy_kubeconfig(config: &Config, to: &Path) -> Result<(), Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let text = std::fs::read(config.admin_kubeconfig())?;
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).doing(folder.display())?;
    }
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(to).doing(to.display())?;
    file.write_all(&text).doing(to.display())
}
