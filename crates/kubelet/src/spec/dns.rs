//! Names: the pod's hostname and domain, its resolv.conf and its hosts file, as text or as CRI's message.
use crate::pod::view::PodView;
use cri::v1::DnsConfig;
use k8s_openapi::api::core::v1::Pod;

const MAX_SERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_LABEL: usize = 63;
/// The kernel's limit on a host name.
const MAX_HOSTNAME: usize = 64;

/// Hostname and cluster domain (empty without a subdomain).
pub fn names(pod: &Pod, cluster_domain: &str) -> Result<(String, String), String> {
    let spec = pod.pod_spec();
    if let Some(whole) = spec.hostname_override.as_ref().filter(|whole| !whole.is_empty()) {
        return Ok((whole.clone(), String::new()));
    }
    let hostname = match spec.hostname.as_deref().filter(|own| !own.is_empty()) {
        Some(own) => own.to_string(),
        None => truncated(pod.pod_name()),
    };
    let subdomain = spec.subdomain.as_deref().filter(|own| !own.is_empty());
    let domain = subdomain.map(|own| format!("{own}.{}.svc.{cluster_domain}", pod.pod_namespace())).unwrap_or_default();
    Ok((hostname, domain))
}

fn truncated(name: &str) -> String {
    name.chars().take(MAX_LABEL).collect::<String>().trim_end_matches(['-', '.']).to_string()
}

/// What the kernel is told.
pub fn node_name(pod: &Pod, cluster_domain: &str) -> Result<String, String> {
    let (hostname, domain) = names(pod, cluster_domain)?;
    if !pod.pod_spec().set_hostname_as_fqdn.unwrap_or(false) || domain.is_empty() {
        return Ok(hostname);
    }
    let whole = format!("{hostname}.{domain}");
    if whole.len() > MAX_HOSTNAME {
        let length = whole.len();
        return Err(format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {whole} is too long ({MAX_HOSTNAME} characters is the max, {length} characters requested)"
        ));
    }
    Ok(whole)
}

/// The node's own resolver settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolver {
    pub servers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<String>,
}

impl Resolver {
    pub fn parse(text: &str) -> Resolver {
        let mut all = Resolver::default();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            match words.next() {
                Some("nameserver") => all.servers.extend(words.next().map(String::from)),
                Some("search") => {
                    all.searches = words.map(|word| word.trim_end_matches('.').to_string()).filter(|word| !word.is_empty()).collect()
                }
                Some("options") => all.options = words.map(String::from).collect(),
                _ => {}
            }
        }
        all
    }
}

pub fn config(pod: &Pod, host: &Resolver, cluster_dns: &[String], cluster_domain: &str) -> DnsConfig {
    let spec = pod.pod_spec();
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let cluster = match policy {
        "ClusterFirstWithHostNet" => true,
        "ClusterFirst" => !pod.is_host_network(),
        _ => false,
    };
    let mut dns = match policy {
        "None" => DnsConfig::default(),
        _ if cluster && !cluster_dns.is_empty() => clustered(pod, host, cluster_dns, cluster_domain),
        _ => DnsConfig { servers: host.servers.clone(), searches: host.searches.clone(), options: host.options.clone() },
    };
    if let Some(own) = &spec.dns_config {
        add(&mut dns.servers, own.nameservers.iter().flatten());
        add(&mut dns.searches, own.searches.iter().flatten());
        for option in own.options.iter().flatten() {
            let name = option.name.as_deref().unwrap_or_default();
            let text = option.value.as_ref().map_or_else(|| name.to_string(), |value| format!("{name}:{value}"));
            dns.options.retain(|known| known.split(':').next() != Some(name));
            dns.options.push(text);
        }
    }
    dns.servers.truncate(MAX_SERVERS);
    dns.searches.truncate(MAX_SEARCHES);
    dns
}

fn clustered(pod: &Pod, host: &Resolver, cluster_dns: &[String], domain: &str) -> DnsConfig {
    let namespace = pod.pod_namespace();
    let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_string()];
    searches.retain(|search| !search.is_empty());
    add(&mut searches, host.searches.iter());
    let mut options = host.options.clone();
    options.retain(|option| !option.starts_with("ndots:"));
    options.insert(0, "ndots:5".into());
    DnsConfig { servers: cluster_dns.to_vec(), searches, options }
}

fn add<'a>(list: &mut Vec<String>, more: impl Iterator<Item = &'a String>) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

/// `/etc/hosts` of a pod; pods on the host's network start from the host's own.
pub fn hosts(pod: &Pod, ips: &[String], hostname: &str, domain: &str, node_hosts: Option<&str>) -> String {
    let mut text = match node_hosts {
        Some(own) => format!("# Kubernetes-managed hosts file (host network).\n{own}"),
        None => {
            let mut text =
                String::from("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
            text.push_str("fe00::\tip6-localnet\nfe00::\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n");
            for ip in ips {
                match domain {
                    "" => text.push_str(&format!("{ip}\t{hostname}\n")),
                    domain => text.push_str(&format!("{ip}\t{hostname}.{domain}\t{hostname}\n")),
                }
            }
            text
        }
    };
    let aliases = pod.pod_spec().host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            text.push_str(&format!("{}\t{}\n", alias.ip, alias.hostnames.clone().unwrap_or_default().join("\t")));
        }
    }
    text
}
