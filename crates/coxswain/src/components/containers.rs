//! The container runtime: the embedded one, or another behind a CRI socket.
use super::network::{self, NodeNetwork};
use crate::config::Config;
use crate::failure::{Doing, Failure};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// The name under which the binary is its own sample image.
pub const SAMPLE: &str = "docker.io/coxswain/hello:latest";

pub struct Containers {
    pub runtime: Arc<dyn cri::Cri>,
    /// The embedded one's network; another runtime brings its own.
    pub network: Option<Arc<NodeNetwork>>,
    pub embedded: Option<Arc<runtime::Runtime>>,
}

impl Containers {
    pub async fn open(config: &Config) -> Result<Containers, Failure> {
        if !config.container_runtime_endpoint.is_empty() {
            let endpoint = &config.container_runtime_endpoint;
            let runtime = cri::grpc::connect(endpoint).await.doing(format!("containerRuntimeEndpoint {endpoint}"))?;
            return Ok(Containers { runtime, network: None, embedded: None });
        }
        let network = Arc::new(NodeNetwork::new(config));
        let runtime = runtime::Runtime::open(settings(config, network.clone())).await.doing("the container runtime")?;
        Ok(Containers { runtime: runtime.clone(), network: Some(network), embedded: Some(runtime) })
    }

    /// Packs this program as the sample image, if that is not there yet from the same program.
    pub async fn import_sample(&self) -> Result<(), Failure> {
        let Some(embedded) = self.embedded.clone() else { return Ok(()) };
        let program = std::env::current_exe()?;
        let pack = move || runtime::image::build::pack_self(embedded.images(), &program, SAMPLE, &["hello"]).map(drop);
        let packed = tokio::task::spawn_blocking(pack).await.doing("packing the sample image")?;
        packed.doing("packing the sample image")
    }
}

fn settings(config: &Config, network: Arc<NodeNetwork>) -> runtime::Config {
    let mirrors = config.registry_mirrors.iter().map(|(host, url)| (host.clone(), vec![url.clone()])).collect();
    let registries = runtime::image::Registries { mirrors, ..Default::default() };
    runtime::Config { network, registries, ..bare(config) }
}

/// The same runtime without a network, for what only looks at images or takes everything down.
fn bare(config: &Config) -> runtime::Config {
    runtime::Config::new(config.data_dir.join("containers"), state_dir(config))
}

/// Sockets have short paths: the state lies directly below the data directory.
fn state_dir(config: &Config) -> PathBuf {
    config.data_dir.join("runtime")
}

/// The image store alone, for the `image` commands; works beside a running instance.
pub fn images(config: &Config) -> Result<runtime::image::Store, Failure> {
    runtime::image::Store::open(&config.data_dir.join("containers").join("images")).doing("the image store")
}

/// Layers under containers, whether an instance runs or not.
pub fn layers_in_use(config: &Config) -> Result<BTreeSet<String>, Failure> {
    runtime::layers_in_use(&state_dir(config)).doing("the containers' records")
}

/// Ends every container and the keeper; nothing of the kernel's is left.
pub async fn stop_all(config: &Config) -> Result<(), Failure> {
    if state_dir(config).exists() {
        let runtime = runtime::Runtime::open(bare(config)).await.doing("the container runtime")?;
        runtime.shutdown_all().await.doing("ending the containers")?;
    }
    // Only what this data directory's instance made: another may be running beside it.
    if config.data_dir.join("network").exists() {
        network::remove(config).map_err(Failure)?;
    }
    Ok(())
}
