//! Killing the daemon, and losing the keeper.
use super::world::{self, World};
use cri::v1::*;
use std::time::Duration;

pub async fn the_daemon_may_be_killed() {
    let folder = world::Folder::new();
    let logs = folder.path().join("logs");
    let (daemon, runtime) = world::daemon_process(folder.path()).await;
    let sandbox = world::sandbox(&*runtime, &logs, |_| {}).await;
    let counting = world::start(&*runtime, &sandbox, "for i in $(seq 300); do echo $i; sleep 0.01; done; exit 9", |_| {}).await.unwrap();
    let staying = world::start(&*runtime, &sandbox, "sleep 1000", |_| {}).await.unwrap();
    let before = world::status(&*runtime, &staying).await;
    let name = world::status(&*runtime, &counting).await.log_path;
    daemon.kill();
    // It ends while nobody is there.
    let name = std::path::Path::new(&name).file_name().unwrap().to_string_lossy().into_owned();
    for _ in 0..2000 {
        if world::log(&logs, &name).len() == 300 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (daemon, runtime) = world::daemon_process(folder.path()).await;
    let status = world::ended(&*runtime, &counting).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (9, "Error"));
    let expected: Vec<String> = (1..=300).map(|number| format!("stdout F {number}")).collect();
    assert_eq!(world::log(&logs, &name), expected);
    let after = world::status(&*runtime, &staying).await;
    assert_eq!((after.state, after.started_at), (ContainerState::ContainerRunning as i32, before.started_at));
    let cmd = vec!["hostname".to_string()];
    let done = runtime.exec_sync(ExecSyncRequest { container_id: staying.clone(), cmd, timeout: 5 }).await.unwrap();
    assert_eq!(done.stdout, b"pod\n");
    runtime.stop_container(StopContainerRequest { container_id: staying.clone(), timeout: 0 }).await.unwrap();
    assert_eq!(world::status(&*runtime, &staying).await.exit_code, 137);
    daemon.kill();
    folder.take_down().await;
}

pub async fn the_keeper_may_be_lost() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let id = world.start(&sandbox, "sleep 1000").await;
    let state = world.folder.path().join("state");
    let keeper = keeper_of(&state);
    std::process::Command::new("kill").arg("-9").arg(keeper.to_string()).status().unwrap();
    let status = world.ended(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (255, "Unknown"));
    // Another is there, and works.
    let (log, _) = world.say(&sandbox, "echo again", |_| {}).await;
    assert_eq!(log, ["stdout F again"]);
    world.close().await;
}

pub fn keeper_of(state: &std::path::Path) -> i32 {
    let text = state.to_string_lossy().into_owned();
    let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_keeper = |pid: &i32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command);
        command.contains(runtime::KEEPER) && command.contains(&text)
    };
    pids.into_iter().find(is_keeper).expect("the keeper runs")
}
