//! The life of containers.
use super::world::World;
use cri::v1::*;
use runtime::exec::Streams;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub async fn a_container_runs_and_ends() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let (log, status) = world.say(&sandbox, "echo out; echo err >&2; printf rest; exit 3", |_| {}).await;
    let mut sorted = log.clone();
    sorted.sort();
    assert_eq!(sorted, ["stderr F err", "stdout F out", "stdout P rest"]);
    assert_eq!((status.exit_code, status.reason.as_str()), (3, "Error"));
    assert!(status.created_at <= status.started_at && status.started_at <= status.finished_at && status.started_at > 0);
    let (_, status) = world.say(&sandbox, "true", |_| {}).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (0, "Completed"));
    world.close().await;
}

pub async fn a_program_that_is_not_there() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let error = world.start_with(&sandbox, "", |config| config.command = vec!["/no/such".into()]).await.unwrap_err();
    assert!(error.message().contains(r#"exec: "/no/such": stat /no/such: no such file or directory"#), "{error}");
    let all = cri::Runtime::list_containers(&*world.runtime, ListContainersRequest::default()).await.unwrap().containers;
    let status = world.status(&all[0].id).await;
    assert_eq!((status.exit_code, status.reason.as_str(), status.state), (128, "StartError", ContainerState::ContainerExited as i32));
    let error = world.start_with(&sandbox, "", |config| config.command = vec!["nope".into()]).await.unwrap_err();
    assert!(error.message().contains(r#"exec: "nope": executable file not found in $PATH"#), "{error}");
    let error =
        world.start_with(&sandbox, "", |config| config.image = Some(ImageSpec { image: "absent".into(), ..Default::default() })).await;
    assert_eq!(error.unwrap_err().code(), cri::Code::NotFound);
    world.close().await;
}

pub async fn stopping_is_first_a_request() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let id = world.start(&sandbox, "trap 'echo bye; exit 7' TERM; echo up; while true; do sleep 0.05; done").await;
    assert_eq!(world.log_of(&id).await, ["stdout F up"]);
    let stop = |id: &str, timeout| StopContainerRequest { container_id: id.into(), timeout };
    cri::Runtime::stop_container(&*world.runtime, stop(&id, 10)).await.unwrap();
    assert_eq!(world.status(&id).await.exit_code, 7);
    assert_eq!(world.log_of(&id).await, ["stdout F up", "stdout F bye"]);
    let deaf = world.start(&sandbox, "trap '' TERM; while true; do sleep 0.05; done").await;
    cri::Runtime::stop_container(&*world.runtime, stop(&deaf, 1)).await.unwrap();
    assert_eq!(world.status(&deaf).await.exit_code, 137);
    cri::Runtime::stop_container(&*world.runtime, stop("unknown", 1)).await.unwrap();
    world.close().await;
}

pub async fn processes_join_and_leave() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let id = world.start(&sandbox, "echo $HOSTNAME > /tmp/name; sleep 1000").await;
    let done = world.exec(&id, "cat /tmp/name; echo oops >&2; exit 5").await;
    let texts = (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap(), done.exit_code);
    assert_eq!(texts, ("pod\n".into(), "oops\n".into(), 5));
    let request =
        |cmd: &[&str], timeout| ExecSyncRequest { container_id: id.clone(), cmd: cmd.iter().map(|one| (*one).into()).collect(), timeout };
    let late = cri::Runtime::exec_sync(&*world.runtime, request(&["sleep", "1000"], 1)).await.unwrap_err();
    assert_eq!(late.code(), cri::Code::DeadlineExceeded);
    let absent = cri::Runtime::exec_sync(&*world.runtime, request(&["nope"], 1)).await.unwrap_err();
    assert!(absent.message().contains("executable file not found in $PATH"), "{absent}");
    // What was too late is gone.
    for _ in 0..200 {
        if !String::from_utf8(world.exec(&id, "ps").await.stdout).unwrap().contains("sleep 1000\n    ") {
            break;
        }
    }
    let count = String::from_utf8(world.exec(&id, "ps | grep -c '[s]leep 1000'").await.stdout).unwrap();
    assert_eq!(count.trim(), "1");
    world.close().await;
}

pub async fn input_reaches_an_attached_container() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let once = |config: &mut ContainerConfig| (config.stdin, config.stdin_once) = (true, true);
    let id = world.start_with(&sandbox, "cat; echo done", once).await.unwrap();
    let streams = Streams { stdin: true, stdout: true, stderr: true, terminal: false };
    let mut attached = world.runtime.attach_process(&id, streams).await.unwrap();
    let mut stdin = attached.stdin.take().unwrap();
    let long = "x".repeat(300_000) + "\n";
    stdin.write_all(b"hello\n").await.unwrap();
    let mut stdout = attached.stdout.take().unwrap();
    let reader = tokio::spawn(async move {
        let mut text = String::new();
        stdout.read_to_string(&mut text).await.unwrap();
        text
    });
    stdin.write_all(long.as_bytes()).await.unwrap();
    stdin.shutdown().await.unwrap();
    drop(stdin);
    assert_eq!(attached.exit.await.unwrap(), 0);
    assert_eq!(reader.await.unwrap(), format!("hello\n{long}done\n"));
    assert_eq!(world.log_of(&id).await.first().unwrap(), "stdout F hello");
    world.close().await;
}

pub async fn a_terminal_is_a_terminal() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let tty = |config: &mut ContainerConfig| (config.tty, config.stdin) = (true, true);
    let id = world.start_with(&sandbox, "[ -t 0 ] && [ -t 1 ] && echo terminal; read line; echo got $line; sleep 1000", tty).await.unwrap();
    let streams = Streams { stdin: true, stdout: true, stderr: false, terminal: true };
    let mut attached = world.runtime.attach_process(&id, streams).await.unwrap();
    assert_eq!(world.log_of(&id).await, ["stdout F terminal"]);
    attached.stdin.as_mut().unwrap().write_all(b"it\n").await.unwrap();
    let mut text = String::new();
    while !text.contains("got it") {
        let mut part = [0; 100];
        let count = attached.stdout.as_mut().unwrap().read(&mut part).await.unwrap();
        text += &String::from_utf8_lossy(&part[..count]);
    }
    let mut shell = world.runtime.exec_process(&id, &["sh".into()], streams).await.unwrap();
    (shell.resize.as_ref().unwrap())(101, 33);
    shell.stdin.as_mut().unwrap().write_all(b"stty size; exit 4\n").await.unwrap();
    let mut text = String::new();
    shell.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    assert!(text.contains("33 101"), "{text}");
    assert_eq!(shell.exit.await.unwrap(), 4);
    world.close().await;
}

pub async fn logs_rotate() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let id = world.start(&sandbox, "echo one; while [ ! -e /tmp/go ]; do sleep 0.02; done; echo two").await;
    world.log_of(&id).await;
    let path = world.status(&id).await.log_path;
    std::fs::rename(&path, world.logs().join("old.log")).unwrap();
    cri::Runtime::reopen_container_log(&*world.runtime, ReopenContainerLogRequest { container_id: id.clone() }).await.unwrap();
    world.exec(&id, "touch /tmp/go").await;
    world.ended(&id).await;
    assert_eq!((world.log("old.log"), world.log_of(&id).await), (vec!["stdout F one".into()], vec!["stdout F two".into()]));
    world.close().await;
}

pub async fn ports_inside_the_pod() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    world.start(&sandbox, "while true; do echo answer | nc -l -p 8080; done").await;
    let mut text = String::new();
    for _ in 0..200 {
        if let Ok(mut stream) = world.runtime.connect_port(&sandbox, 8080).await {
            stream.read_to_string(&mut text).await.unwrap();
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(text, "answer\n");
    assert!(world.runtime.connect_port(&sandbox, 9).await.is_err());
    world.close().await;
}

pub async fn sandboxes_go_with_their_containers() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let id = world.start(&sandbox, "sleep 1000").await;
    let stop = StopPodSandboxRequest { pod_sandbox_id: sandbox.clone() };
    cri::Runtime::stop_pod_sandbox(&*world.runtime, stop.clone()).await.unwrap();
    cri::Runtime::stop_pod_sandbox(&*world.runtime, stop).await.unwrap();
    assert_eq!(world.status(&id).await.exit_code, 137);
    let asked = PodSandboxStatusRequest { pod_sandbox_id: sandbox.clone(), verbose: false };
    let status = cri::Runtime::pod_sandbox_status(&*world.runtime, asked.clone()).await.unwrap().status.unwrap();
    assert_eq!(status.state, PodSandboxState::SandboxNotready as i32);
    assert!(world.start_with(&sandbox, "true", |_| {}).await.is_err());
    let remove = RemovePodSandboxRequest { pod_sandbox_id: sandbox };
    cri::Runtime::remove_pod_sandbox(&*world.runtime, remove.clone()).await.unwrap();
    cri::Runtime::remove_pod_sandbox(&*world.runtime, remove).await.unwrap();
    assert_eq!(cri::Runtime::pod_sandbox_status(&*world.runtime, asked).await.unwrap_err().code(), cri::Code::NotFound);
    world.close().await;
}

pub async fn the_lists_are_filtered() {
    let world = World::open().await;
    let sandbox = world.sandbox_with(|config| drop(config.labels.insert("app".into(), "a".into()))).await;
    let other = world.sandbox().await;
    let id = world.start(&sandbox, "sleep 1000").await;
    world.say(&other, "true", |_| {}).await;
    let list = async |filter: ContainerFilter| {
        let listed =
            cri::Runtime::list_containers(&*world.runtime, ListContainersRequest { filter: Some(filter) }).await.unwrap().containers;
        listed.into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    let running = Some(ContainerStateValue { state: ContainerState::ContainerRunning as i32 });
    assert_eq!(list(ContainerFilter { state: running, ..Default::default() }).await, std::slice::from_ref(&id));
    assert_eq!(list(ContainerFilter { pod_sandbox_id: sandbox.clone(), ..Default::default() }).await, std::slice::from_ref(&id));
    assert_eq!(list(ContainerFilter::default()).await.len(), 2);
    let labels = PodSandboxFilter { label_selector: [("app".to_string(), "a".to_string())].into(), ..Default::default() };
    let listed = cri::Runtime::list_pod_sandbox(&*world.runtime, ListPodSandboxRequest { filter: Some(labels) }).await.unwrap().items;
    assert_eq!(listed.into_iter().map(|one| one.id).collect::<Vec<_>>(), std::slice::from_ref(&sandbox));
    let stats = cri::Runtime::container_stats(&*world.runtime, ContainerStatsRequest { container_id: id }).await.unwrap().stats.unwrap();
    assert!(stats.cpu.unwrap().usage_core_nano_seconds.unwrap().value > 0 && stats.memory.unwrap().usage_bytes.unwrap().value > 0);
    let stats = cri::Runtime::list_pod_sandbox_stats(&*world.runtime, ListPodSandboxStatsRequest::default()).await.unwrap().stats;
    assert_eq!(stats.len(), 2);
    world.close().await;
}

pub async fn events_are_told() {
    use futures::StreamExt;
    let world = World::open().await;
    let mut events = cri::Runtime::get_container_events(&*world.runtime, GetEventsRequest {}).await.unwrap();
    let sandbox = world.sandbox().await;
    let (_, status) = world.say(&sandbox, "true", |_| {}).await;
    let mut told = Vec::new();
    while told.len() < 5 {
        let event = events.next().await.unwrap().unwrap();
        told.push((event.container_id == status.id, event.container_event_type().as_str_name()));
    }
    told.sort();
    let expected = [
        (false, "CONTAINER_CREATED_EVENT"),
        (false, "CONTAINER_STARTED_EVENT"),
        (true, "CONTAINER_CREATED_EVENT"),
        (true, "CONTAINER_STARTED_EVENT"),
        (true, "CONTAINER_STOPPED_EVENT"),
    ];
    assert_eq!(told, expected);
    world.close().await;
}

pub async fn copied_layers_do_as_well() {
    let world = World::open_with(|config| config.copy_layers = true).await;
    let sandbox = world.sandbox().await;
    let (log, status) = world.say(&sandbox, "echo x > /etc/new && cat /etc/new", |_| {}).await;
    assert_eq!((log, status.exit_code), (vec!["stdout F x".to_string()], 0));
    world.close().await;
}

pub async fn images_are_mounted() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let spec = Some(ImageSpec { image: super::world::IMAGE.into(), ..Default::default() });
    let mounts = vec![
        Mount { container_path: "/image".into(), image: spec.clone(), readonly: true, ..Default::default() },
        Mount { container_path: "/part".into(), image: spec, image_sub_path: "etc".into(), readonly: true, ..Default::default() },
    ];
    let script = "ls /image/bin/busybox; touch /image/x || echo read-only; head -n 1 /part/passwd";
    let (log, _) = world.say(&sandbox, script, |config| config.mounts = mounts).await;
    let texts: Vec<&str> = log.iter().map(String::as_str).filter(|line| line.starts_with("stdout")).collect();
    assert_eq!(texts, ["stdout F /image/bin/busybox", "stdout F read-only", "stdout F root:x:0:0:root:/root:/bin/sh"]);
    world.close().await;
}

/// Opens a WebSocket to a URL of the streaming server.
async fn websocket(url: &str, protocol: &str) -> tokio::net::TcpStream {
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /{path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection
}

async fn all_of(mut connection: tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), connection.read_to_end(&mut bytes)).await;
    read.expect("the server ends the connection").unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

pub async fn streams_by_url() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let id = world.start(&sandbox, "sleep 1000").await;
    let cmd = ["sh", "-c", "echo from inside; echo wrong >&2; exit 3"].map(String::from).to_vec();
    let request = ExecRequest { container_id: id.clone(), cmd, stdout: true, stderr: true, ..Default::default() };
    let url = cri::Runtime::exec(&*world.runtime, request).await.unwrap().url;
    let mut connection = websocket(&url, "v5.channel.k8s.io").await;
    let mut text = String::new();
    while !text.contains("NonZeroExitCode") {
        let mut part = [0; 1000];
        let count = connection.read(&mut part).await.unwrap();
        assert!(count > 0, "{text}");
        text += &String::from_utf8_lossy(&part[..count]);
    }
    assert!(text.starts_with("HTTP/1.1 101") && text.contains("\u{1}from inside\n") && text.contains("\u{2}wrong\n"), "{text}");
    assert!(text.contains(r#""reason":"ExitCode","message":"3""#), "{text}");
    // Used up.
    let mut again = tokio::net::TcpStream::connect(url[7..].split('/').next().unwrap()).await.unwrap();
    again
        .write_all(format!("GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &url[7..][url[7..].find('/').unwrap()..]).as_bytes())
        .await
        .unwrap();
    assert!(all_of(again).await.starts_with("HTTP/1.1 404"));
    let request = ExecRequest { container_id: id, cmd: vec!["x".into()], ..Default::default() };
    assert_eq!(cri::Runtime::exec(&*world.runtime, request).await.unwrap_err().code(), cri::Code::InvalidArgument);
    world.close().await;
}
