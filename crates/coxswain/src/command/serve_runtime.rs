//! `coxswain runtime`: the embedded container runtime for any CRI client.
use super::block_on;
use crate::cli::RuntimeArgs;
use crate::components::containers;
use crate::failure::{Doing, Failure};
use crate::{daemon, logs};
use std::process::ExitCode;

pub fn run(arguments: &RuntimeArgs) -> Result<ExitCode, Failure> {
    let config = arguments.flags.settings()?;
    logs::start(&config.log_level);
    let path = arguments.listen.clone().unwrap_or_else(|| config.run_dir().join("runtime.sock"));
    let serve = async {
        let containers = containers::Containers::open(&config).await?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).doing(folder.display())?;
        }
        let _ = std::fs::remove_file(&path); // a socket that an earlier process left
        let listener = tokio::net::UnixListener::bind(&path).doing(path.display())?;
        tokio::select! {
            served = cri::grpc::serve(listener, containers.runtime.clone()) => served.doing("serving CRI")?,
            () = daemon::until_stopped() => {}
        }
        let _ = std::fs::remove_file(&path);
        Ok(())
    };
    block_on(serve).map(|()| ExitCode::SUCCESS)
}
