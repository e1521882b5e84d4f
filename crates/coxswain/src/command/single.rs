//! One component as a process of its own, against any API server.
use super::block_on;
use crate::cli::Flags;
use crate::components;
use crate::config::{Component, Config};
use crate::failure::{Doing, Failure};
use crate::{daemon, logs};
use client::Client;
use client::remote::Remote;
use pki::Kubeconfig;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

pub fn run(flags: &Flags, component: Component, listen: Option<SocketAddr>) -> Result<ExitCode, Failure> {
    let config = Config { components: vec![component], ..flags.settings()? };
    logs::start(&config.log_level);
    let done = match component {
        Component::Apiserver => block_on(daemon::run(config)),
        _ => block_on(remote(config, component, listen)),
    };
    done.map(|()| ExitCode::SUCCESS)
}

async fn remote(config: Config, component: Component, listen: Option<SocketAddr>) -> Result<(), Failure> {
    let path = config.kubeconfig.clone().ok_or_else(|| Failure("--kubeconfig is needed: which API server?".into()))?;
    let client = connect(&path, "coxswain")?;
    let running = components::start_one(&config, component, client, listen).await?;
    daemon::until_stopped().await;
    drop(running);
    Ok(())
}

/// A client from a kubeconfig.
pub fn connect(path: &Path, user_agent: &'static str) -> Result<Client, Failure> {
    let kubeconfig = Kubeconfig::load(path).doing("the kubeconfig cannot be used")?;
    let config = client::remote::Config {
        server: kubeconfig.server.clone(),
        ca: kubeconfig.ca.clone().unwrap_or_default(),
        tls_server_name: kubeconfig.tls_server_name.clone(),
        pair: kubeconfig.client_cert.clone().zip(kubeconfig.client_key.clone()),
        token: kubeconfig.token.clone(),
        token_file: kubeconfig.token_file.clone(),
    };
    let remote = Remote::new(&config).doing(path.display())?;
    Ok(Client::remote(remote, user_agent))
}
