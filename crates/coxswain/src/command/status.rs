//! `coxswain status`: each component, the node, pods by phase, versions, and when certificates end.
use super::{KUBERNETES_VERSION, block_on, print, single};
use crate::cli::StatusArgs;
use crate::components::health;
use crate::config::Config;
use crate::failure::Failure;
use crate::instance;
use client::{Client, ListOptions};
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

pub fn run(arguments: &StatusArgs) -> Result<ExitCode, Failure> {
    let asked = arguments.flags.settings()?;
    let (running, config) = instance::find(&asked)?;
    let config = Config { data_dir: asked.data_dir, ..config };
    let mut status = json!({
        "running": running.is_some(),
        "pid": running.map(|running| running.pid),
        "dataDir": config.data_dir,
        "versions": {"coxswain": env!("CARGO_PKG_VERSION"), "kubernetes": KUBERNETES_VERSION},
        "certificates": certificates(&config),
    });
    let is_running = status["running"] == true;
    if is_running {
        status["components"] = health::read(&config);
        let cluster = block_on(async { Ok(tokio::time::timeout(PATIENCE, cluster(&config)).await) })?;
        match cluster {
            Ok(Ok(cluster)) => status.as_object_mut().into_iter().for_each(|map| map.extend(cluster.clone())),
            Ok(Err(failure)) => status["error"] = failure.0.into(),
            Err(_) => status["error"] = format!("the API server did not answer within {} s", PATIENCE.as_secs()).into(),
        }
    }
    match arguments.output.as_str() {
        "json" => print(&format!("{status:#}")),
        _ => tell(&status),
    }
    let ready = is_running && status.get("error").is_none();
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn cluster(config: &Config) -> Result<serde_json::Map<String, Value>, Failure> {
    let client: Client = single::connect(&config.admin_kubeconfig(), "coxswain-status")?;
    let (nodes, _) = client.list::<Node>(&ListOptions::default()).await?;
    let (pods, _) = client.list::<Pod>(&ListOptions::default()).await?;
    let mut phases: BTreeMap<String, usize> = BTreeMap::new();
    for pod in &pods {
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_else(|| "Unknown".into());
        *phases.entry(phase).or_default() += 1;
    }
    let nodes: Vec<Value> = nodes.iter().map(|node| about(node)).collect();
    Ok(serde_json::Map::from_iter([("nodes".to_string(), json!(nodes)), ("pods".to_string(), json!(phases))]))
}

fn about(node: &Node) -> Value {
    let status = node.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    json!({
        "name": node.metadata.name,
        "ready": ready.is_some_and(|ready| ready.status == "True"),
        "why": ready.and_then(|ready| ready.message.clone()),
        "since": ready.and_then(|ready| ready.last_transition_time.as_ref()).map(|time| time.0.to_string()),
        "kubelet": status.and_then(|status| status.node_info.as_ref()).map(|info| info.kubelet_version.clone()),
    })
}

fn certificates(config: &Config) -> Value {
    let folder = config.data_dir.join("pki");
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let ends = files.filter(|path| path.extension().is_some_and(|extension| extension == "crt")).filter_map(|path| {
        let certificate = pki::Certificate::from_pem(&std::fs::read_to_string(&path).ok()?).ok()?;
        Some((path.file_stem()?.to_string_lossy().into_owned(), certificate.not_after.to_string()))
    });
    json!(ends.collect::<BTreeMap<String, String>>())
}

fn tell(status: &Value) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), String::from);
    if status["running"] != true {
        print(&format!("not running ({})", text(&status["dataDir"])));
    } else {
        print(&format!("running as process {} on {}", status["pid"], text(&status["dataDir"])));
    }
    for (name, component) in status["components"].as_object().into_iter().flatten() {
        let state = if component["ready"] == true { "ready".into() } else { format!("not ready: {}", text(&component["why"])) };
        print(&format!("  {name:<20} {state}, since {}", text(&component["since"])));
    }
    for node in status["nodes"].as_array().into_iter().flatten() {
        let state = if node["ready"] == true { "ready".into() } else { format!("not ready: {}", text(&node["why"])) };
        print(&format!("node {}: {state}, since {}, kubelet {}", text(&node["name"]), text(&node["since"]), text(&node["kubelet"])));
    }
    for (phase, count) in status["pods"].as_object().into_iter().flatten() {
        print(&format!("pods {phase}: {count}"));
    }
    print(&format!("versions: coxswain {}, Kubernetes {}", text(&status["versions"]["coxswain"]), text(&status["versions"]["kubernetes"])));
    for (name, end) in status["certificates"].as_object().into_iter().flatten() {
        print(&format!("certificate {name} ends {}", text(end)));
    }
    if let Some(error) = status.get("error") {
        print(&format!("error: {}", text(error)));
    }
}
