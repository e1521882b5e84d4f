//! The command line. Every command has an example in its help.
use crate::config::{Component, Config};
use crate::failure::Failure;
use clap::{Args, Parser, Subcommand};
use ipnet::Ipv4Net;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

#[derive(Parser)]
#[command(
    name = "coxswain",
    version,
    about = "A complete Kubernetes in one binary",
    after_help = "Example:\n  coxswain up && kubectl --kubeconfig /var/lib/coxswain/admin.kubeconfig get nodes"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Start a cluster on this machine and wait until it is ready
    #[command(after_help = "Example:\n  coxswain up --write-kubeconfig ~/.kube/coxswain")]
    Up(UpArgs),
    /// Tell how the cluster on this machine is
    #[command(after_help = "Example:\n  coxswain status -o json")]
    Status(StatusArgs),
    /// Stop the cluster on this machine, containers included; its data stays
    #[command(after_help = "Example:\n  coxswain down --purge")]
    Down(DownArgs),
    /// Run only the API server, with its store
    #[command(after_help = "Example:\n  coxswain apiserver --data-dir /var/lib/coxswain --port 6443")]
    Apiserver(Flags),
    /// Run only the controllers against an API server
    #[command(after_help = "Example:\n  coxswain controller-manager --kubeconfig controller-manager.kubeconfig")]
    ControllerManager(Flags),
    /// Run only the scheduler against an API server
    #[command(after_help = "Example:\n  coxswain scheduler --kubeconfig scheduler.kubeconfig")]
    Scheduler(Flags),
    /// Run only the kubelet against an API server
    #[command(
        after_help = "Example:\n  coxswain kubelet --kubeconfig kubelet.kubeconfig --container-runtime-endpoint unix:///run/containerd/containerd.sock"
    )]
    Kubelet(Flags),
    /// Run only the service proxy against an API server
    #[command(after_help = "Example:\n  coxswain proxy --kubeconfig proxy.kubeconfig")]
    Proxy(Flags),
    /// Run only cluster DNS against an API server
    #[command(after_help = "Example:\n  coxswain dns --kubeconfig dns.kubeconfig --listen 10.0.0.2:53")]
    Dns(DnsArgs),
    /// Serve the embedded container runtime to any CRI client
    #[command(after_help = "Example:\n  coxswain runtime --listen /run/coxswain.sock")]
    Runtime(RuntimeArgs),
    /// Handle container images without a registry
    #[command(subcommand)]
    Image(ImageCommand),
    /// Be the sample: a small web server that tells where it runs
    #[command(after_help = "Example:\n  coxswain hello --listen 0.0.0.0:8080")]
    Hello(HelloArgs),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  coxswain completion bash > /etc/bash_completion.d/coxswain")]
    Completion { shell: clap_complete::Shell },
    /// Print the version
    #[command(after_help = "Example:\n  coxswain version")]
    Version,
}

/// Settings as flags; what is not given comes from the file or is the default.
#[derive(Args, Clone, Debug, Default)]
pub struct Flags {
    /// A YAML file with settings; flags win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where everything is kept [default: /var/lib/coxswain]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The node's name [default: the host's name]
    #[arg(long)]
    pub node_name: Option<String>,
    /// Where the API server listens [default: 0.0.0.0]
    #[arg(long)]
    pub bind_address: Option<IpAddr>,
    /// The API server's port [default: 6443]
    #[arg(long)]
    pub port: Option<u16>,
    /// The node's address [default: that of the link with the default route]
    #[arg(long)]
    pub node_ip: Option<Ipv4Addr>,
    /// The kubelet's port [default: 10250]
    #[arg(long)]
    pub kubelet_port: Option<u16>,
    /// Addresses of pods [default: 10.244.0.0/16]
    #[arg(long)]
    pub cluster_cidr: Option<Ipv4Net>,
    /// Addresses of services [default: 10.96.0.0/16]
    #[arg(long)]
    pub service_cidr: Option<Ipv4Net>,
    /// Domain of names in the cluster [default: cluster.local]
    #[arg(long)]
    pub cluster_domain: Option<String>,
    /// CRI socket of another container runtime (unix:///…) [default: the embedded one]
    #[arg(long)]
    pub container_runtime_endpoint: Option<String>,
    /// Which components to run, separated by commas [default: all]
    #[arg(long, value_delimiter = ',')]
    pub components: Option<Vec<Component>>,
    /// HOST=URL: ask URL instead of the registry HOST; may be given several times
    #[arg(long, value_name = "HOST=URL")]
    pub registry_mirror: Vec<String>,
    /// Pods that this node takes [default: 110]
    #[arg(long)]
    pub max_pods: Option<i64>,
    /// error, warn, info, debug or trace [default: info]
    #[arg(long)]
    pub log_level: Option<String>,
    /// How components that run without an API server reach one
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct UpArgs {
    #[command(flatten)]
    pub flags: Flags,
    /// Stay in the foreground
    #[arg(long)]
    pub foreground: bool,
    /// Also write the administrator's kubeconfig there
    #[arg(long, value_name = "FILE")]
    pub write_kubeconfig: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    pub flags: Flags,
    /// `text` or `json`
    #[arg(short, long, default_value = "text", value_parser = ["text", "json"])]
    pub output: String,
}

#[derive(Args, Clone, Debug)]
pub struct DownArgs {
    #[command(flatten)]
    pub flags: Flags,
    /// Also remove all data: leave the machine as it was
    #[arg(long)]
    pub purge: bool,
}

#[derive(Args, Clone, Debug)]
pub struct DnsArgs {
    #[command(flatten)]
    pub flags: Flags,
    /// Address and port
    #[arg(long, default_value = "127.0.0.1:10053")]
    pub listen: SocketAddr,
}

#[derive(Args, Clone, Debug)]
pub struct RuntimeArgs {
    #[command(flatten)]
    pub flags: Flags,
    /// The socket's path [default: <data-dir>/run/runtime.sock]
    #[arg(long)]
    pub listen: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct HelloArgs {
    /// Address and port
    #[arg(long, default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
}

#[derive(Subcommand, Clone, Debug)]
pub enum ImageCommand {
    /// List images
    #[command(after_help = "Example:\n  coxswain image ls")]
    Ls {
        #[command(flatten)]
        flags: Flags,
    },
    /// Get an image from its registry
    #[command(after_help = "Example:\n  coxswain image pull debian:12")]
    Pull {
        image: String,
        #[command(flatten)]
        flags: Flags,
    },
    /// Take images out of an OCI layout or an archive that `docker save` wrote
    #[command(after_help = "Example:\n  coxswain image import web.tar")]
    Import {
        path: PathBuf,
        /// The name, where the archive has none
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        flags: Flags,
    },
    /// Write an image as an OCI archive
    #[command(after_help = "Example:\n  coxswain image export coxswain/hello hello.tar")]
    Export {
        image: String,
        path: PathBuf,
        #[command(flatten)]
        flags: Flags,
    },
    /// Remove an image
    #[command(after_help = "Example:\n  coxswain image rm coxswain/hello")]
    Rm {
        image: String,
        #[command(flatten)]
        flags: Flags,
    },
    /// Make an image from a folder
    #[command(after_help = "Example:\n  coxswain image build-from-dir ./root web:1 --entrypoint /server")]
    BuildFromDir {
        dir: PathBuf,
        name: String,
        /// Program and its first arguments
        #[arg(long, num_args = 1..)]
        entrypoint: Vec<String>,
        /// NAME=VALUE
        #[arg(long)]
        env: Vec<String>,
        #[command(flatten)]
        flags: Flags,
    },
}

impl Flags {
    /// File, then flags, checked.
    pub fn settings(&self) -> Result<Config, Failure> {
        let mut config = self.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
        fn over<T: Clone>(flag: &Option<T>, setting: &mut T) {
            if let Some(value) = flag {
                *setting = value.clone();
            }
        }
        over(&self.data_dir, &mut config.data_dir);
        over(&self.node_name, &mut config.node_name);
        over(&self.bind_address, &mut config.bind_address);
        over(&self.port, &mut config.port);
        over(&self.kubelet_port, &mut config.kubelet_port);
        over(&self.cluster_cidr, &mut config.cluster_cidr);
        over(&self.service_cidr, &mut config.service_cidr);
        over(&self.cluster_domain, &mut config.cluster_domain);
        over(&self.container_runtime_endpoint, &mut config.container_runtime_endpoint);
        over(&self.components, &mut config.components);
        over(&self.max_pods, &mut config.max_pods);
        over(&self.log_level, &mut config.log_level);
        config.node_ip = self.node_ip.or(config.node_ip);
        config.kubeconfig = self.kubeconfig.clone().or(config.kubeconfig);
        for mirror in &self.registry_mirror {
            let refused = || Failure(format!("--registry-mirror {mirror}: it must be HOST=URL, as registry.k8s.io=http://127.0.0.1:5055"));
            let (host, url) = mirror.split_once('=').ok_or_else(refused)?;
            config.registry_mirrors.insert(host.into(), url.into());
        }
        config.check()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command) {
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                let deeper = sub.get_subcommands().count() > 0;
                assert!(deeper || help.contains("Example:"), "{} has no example", sub.get_name());
                check(sub);
            }
        }
        Cli::command().debug_assert();
        check(&Cli::command());
    }
}
