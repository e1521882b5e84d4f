//! What pods and the node use: the summary as JSON, and metrics as text. Numbers come from the runtime and `/proc`, when asked.
use super::Server;
use crate::node::machine;
use crate::spec::labels;
use cri::v1::{ContainerStats, CpuUsage, ListPodSandboxStatsRequest, MemoryUsage, NetworkInterfaceUsage, PodSandboxStats, UInt64Value};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt::Write;

impl Server {
    async fn sandbox_stats(&self) -> Vec<PodSandboxStats> {
        let answer = self.shared.runtime.list_pod_sandbox_stats(ListPodSandboxStatsRequest::default()).await;
        answer.map(|answer| answer.stats).unwrap_or_default()
    }

    pub(super) async fn summary(&self) -> Value {
        let now = self.shared.clock.now();
        let pods: Vec<Value> = self.sandbox_stats().await.iter().filter_map(pod_summary).collect();
        let (machine, signals) = (machine::look(&self.shared.settings.root_dir), machine::signals(&self.shared.settings.root_dir));
        let working = machine.memory_bytes.saturating_sub(signals.memory_available);
        let fs = json!({
            "time": seconds(now), "availableBytes": signals.disk_available, "capacityBytes": signals.disk_capacity,
            "usedBytes": signals.disk_capacity.saturating_sub(signals.disk_available),
            "inodesFree": signals.inodes_free, "inodes": signals.inodes,
            "inodesUsed": signals.inodes.saturating_sub(signals.inodes_free),
        });
        json!({
            "node": {
                "nodeName": self.shared.settings.node_name,
                "startTime": seconds(now),
                "cpu": {"time": seconds(now), "usageCoreNanoSeconds": machine_cpu_nanos()},
                "memory": {"time": seconds(now), "availableBytes": signals.memory_available, "usageBytes": working, "workingSetBytes": working},
                "fs": fs,
                "runtime": {"imageFs": fs, "containerFs": fs},
                "rlimit": {"time": seconds(now), "maxpid": signals.pids, "curproc": signals.pids.saturating_sub(signals.pids_available)},
            },
            "pods": pods,
        })
    }

    pub(super) async fn resource_metrics(&self) -> String {
        let root = &self.shared.settings.root_dir;
        let working = machine::look(root).memory_bytes.saturating_sub(machine::signals(root).memory_available);
        let mut cpu = String::new();
        let mut memory = String::new();
        let mut pod_cpu = String::new();
        let mut pod_memory = String::new();
        for stats in self.sandbox_stats().await {
            let Some((pod, linux)) = identity(&stats).zip(stats.linux.as_ref()) else { continue };
            for container in &linux.containers {
                let place = format!("{{container=\"{}\",namespace=\"{}\",pod=\"{}\"}}", name(container), pod.namespace, pod.name);
                metric(&mut cpu, "container_cpu_usage_seconds_total", &place, container.cpu.as_ref().and_then(nanos).map(in_seconds));
                let bytes = container.memory.as_ref().and_then(working_set).map(|bytes| bytes as f64);
                metric(&mut memory, "container_memory_working_set_bytes", &place, bytes);
            }
            let place = format!("{{namespace=\"{}\",pod=\"{}\"}}", pod.namespace, pod.name);
            metric(&mut pod_cpu, "pod_cpu_usage_seconds_total", &place, linux.cpu.as_ref().and_then(nanos).map(in_seconds));
            let bytes = linux.memory.as_ref().and_then(working_set).map(|bytes| bytes as f64);
            metric(&mut pod_memory, "pod_memory_working_set_bytes", &place, bytes);
        }
        let mut out = String::new();
        family(&mut out, "container_cpu_usage_seconds_total", "counter", &cpu);
        family(&mut out, "container_memory_working_set_bytes", "gauge", &memory);
        let node_cpu = format!("node_cpu_usage_seconds_total {}\n", in_seconds(machine_cpu_nanos()));
        family(&mut out, "node_cpu_usage_seconds_total", "counter", &node_cpu);
        family(&mut out, "node_memory_working_set_bytes", "gauge", &format!("node_memory_working_set_bytes {working}\n"));
        family(&mut out, "pod_cpu_usage_seconds_total", "counter", &pod_cpu);
        family(&mut out, "pod_memory_working_set_bytes", "gauge", &pod_memory);
        family(&mut out, "resource_scrape_error", "gauge", "resource_scrape_error 0\n");
        out
    }

    pub(super) async fn cadvisor_metrics(&self) -> String {
        let (mut cpu, mut memory, mut received, mut sent) = (String::new(), String::new(), String::new(), String::new());
        for stats in self.sandbox_stats().await {
            let Some((pod, linux)) = identity(&stats).zip(stats.linux.as_ref()) else { continue };
            for container in &linux.containers {
                let place = format!("{{container=\"{}\",namespace=\"{}\",pod=\"{}\"}}", name(container), pod.namespace, pod.name);
                metric(&mut cpu, "container_cpu_usage_seconds_total", &place, container.cpu.as_ref().and_then(nanos).map(in_seconds));
                let bytes = container.memory.as_ref().and_then(working_set).map(|bytes| bytes as f64);
                metric(&mut memory, "container_memory_working_set_bytes", &place, bytes);
            }
            let Some(interface) = linux.network.as_ref().and_then(|network| network.default_interface.as_ref()) else { continue };
            let place = format!("{{interface=\"{}\",namespace=\"{}\",pod=\"{}\"}}", interface.name, pod.namespace, pod.name);
            let bytes = |value: &Option<UInt64Value>| value.as_ref().map(|value| value.value as f64);
            metric(&mut received, "container_network_receive_bytes_total", &place, bytes(&interface.rx_bytes));
            metric(&mut sent, "container_network_transmit_bytes_total", &place, bytes(&interface.tx_bytes));
        }
        let mut out = String::new();
        family(&mut out, "container_cpu_usage_seconds_total", "counter", &cpu);
        family(&mut out, "container_memory_working_set_bytes", "gauge", &memory);
        family(&mut out, "container_network_receive_bytes_total", "counter", &received);
        family(&mut out, "container_network_transmit_bytes_total", "counter", &sent);
        out
    }
}

struct PodName {
    name: String,
    namespace: String,
    uid: String,
}

fn identity(stats: &PodSandboxStats) -> Option<PodName> {
    let labels: &HashMap<String, String> = &stats.attributes.as_ref()?.labels;
    let label = |key: &str| labels.get(key).cloned();
    Some(PodName { name: label(labels::POD_NAME)?, namespace: label(labels::POD_NAMESPACE)?, uid: label(labels::POD_UID)? })
}

fn name(stats: &ContainerStats) -> String {
    let metadata = stats.attributes.as_ref().and_then(|attributes| attributes.metadata.as_ref());
    metadata.map(|metadata| metadata.name.clone()).unwrap_or_default()
}

fn pod_summary(stats: &PodSandboxStats) -> Option<Value> {
    let (pod, linux) = (identity(stats)?, stats.linux.as_ref()?);
    let containers: Vec<Value> = linux
        .containers
        .iter()
        .map(|container| json!({"name": name(container), "cpu": cpu(container.cpu.as_ref()), "memory": memory(container.memory.as_ref())}))
        .collect();
    let mut summary = json!({
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "containers": containers,
        "cpu": cpu(linux.cpu.as_ref()),
        "memory": memory(linux.memory.as_ref()),
    });
    if let Some(network) = &linux.network {
        let mut told = network.default_interface.as_ref().map_or_else(|| json!({}), interface);
        told["time"] = time(network.timestamp);
        told["interfaces"] = network.interfaces.iter().chain(&network.default_interface).map(interface).collect();
        summary["network"] = told;
    }
    Some(summary)
}

fn interface(usage: &NetworkInterfaceUsage) -> Value {
    let number = |value: &Option<UInt64Value>| value.as_ref().map(|value| value.value);
    json!({
        "name": usage.name, "rxBytes": number(&usage.rx_bytes), "rxErrors": number(&usage.rx_errors),
        "txBytes": number(&usage.tx_bytes), "txErrors": number(&usage.tx_errors),
    })
}

fn cpu(usage: Option<&CpuUsage>) -> Value {
    let Some(usage) = usage else { return Value::Null };
    let cores = usage.usage_nano_cores.as_ref().map(|value| value.value);
    json!({"time": time(usage.timestamp), "usageNanoCores": cores, "usageCoreNanoSeconds": nanos(usage)})
}

fn memory(usage: Option<&MemoryUsage>) -> Value {
    let Some(usage) = usage else { return Value::Null };
    let number = |value: &Option<UInt64Value>| value.as_ref().map(|value| value.value);
    json!({
        "time": time(usage.timestamp), "availableBytes": number(&usage.available_bytes), "usageBytes": number(&usage.usage_bytes),
        "workingSetBytes": number(&usage.working_set_bytes), "rssBytes": number(&usage.rss_bytes),
        "pageFaults": number(&usage.page_faults), "majorPageFaults": number(&usage.major_page_faults),
    })
}

fn nanos(usage: &CpuUsage) -> Option<u64> {
    usage.usage_core_nano_seconds.as_ref().map(|value| value.value)
}

fn working_set(usage: &MemoryUsage) -> Option<u64> {
    usage.working_set_bytes.as_ref().or(usage.usage_bytes.as_ref()).map(|value| value.value)
}

fn in_seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

fn time(nanoseconds: i64) -> Value {
    seconds(Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default())
}

fn seconds(at: Timestamp) -> Value {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string().into()
}

fn metric(out: &mut String, name: &str, place: &str, value: Option<f64>) {
    if let Some(value) = value {
        let _ = writeln!(out, "{name}{place} {value}");
    }
}

fn family(out: &mut String, name: &str, kind: &str, lines: &str) {
    if !lines.is_empty() {
        let _ = write!(out, "# TYPE {name} {kind}\n{lines}");
    }
}

/// CPU time of the whole machine since it started, from `/proc/stat` (in hundredths of a second).
fn machine_cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> =
        text.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // Everything but idle and waiting for disks.
    let busy: u64 = fields.iter().enumerate().filter(|(index, _)| !matches!(index, 3 | 4)).map(|(_, value)| value).take(6).sum();
    busy * 10_000_000
}
