//! Not a test: how fast pods start and go, printed. `cargo test -p runtime --test containers -- bench 50`.
use super::world::{self, World};
use cri::v1::*;
use std::time::{Duration, Instant};

#[allow(clippy::print_stdout)]
pub fn run(count: usize) {
    let bench = async {
        let world = World::open().await;
        let mut single = Vec::new();
        for _ in 0..5 {
            let began = Instant::now();
            let sandbox = world.sandbox().await;
            let made = began.elapsed();
            world.start(&sandbox, "sleep 1000").await;
            single.push((made, began.elapsed() - made));
        }
        println!("one after the other (sandbox, container): {single:?}");
        let began = Instant::now();
        let starts = (0..count).map(|_| async {
            let sandbox = world::sandbox(&*world.runtime, &world.logs(), |_| {}).await;
            world::start(&*world.runtime, &sandbox, "sleep 1000", |_| {}).await.unwrap();
        });
        futures::future::join_all(starts).await;
        println!("{count} pods together: started in {:?}", began.elapsed());
        let keeper = super::restart::keeper_of(&world.folder.path().join("state"));
        let status = std::fs::read_to_string(format!("/proc/{keeper}/status")).unwrap();
        println!("keeper: {}", status.lines().filter(|line| line.contains("Rss")).collect::<Vec<_>>().join(", "));
        tokio::time::sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        let all = cri::Runtime::list_pod_sandbox(&*world.runtime, ListPodSandboxRequest::default()).await.unwrap().items;
        let stops = all
            .iter()
            .map(|one| cri::Runtime::remove_pod_sandbox(&*world.runtime, RemovePodSandboxRequest { pod_sandbox_id: one.id.clone() }));
        futures::future::join_all(stops).await;
        println!("{} pods together: gone in {:?}", all.len(), began.elapsed());
        world.close().await;
    };
    super::tell(bench);
}

/// `-- pull <image>`: how long a pull takes, and what the image's program says.
#[allow(clippy::print_stdout)]
pub fn pull(image: &str) {
    let bench = async {
        let world = World::open_bare(|_| {}).await;
        let began = Instant::now();
        let spec = Some(ImageSpec { image: image.into(), ..Default::default() });
        let pulled =
            cri::Images::pull_image(&*world.runtime, PullImageRequest { image: spec.clone(), ..Default::default() }).await.unwrap();
        println!("{} in {:?}", pulled.image_ref, began.elapsed());
        let sandbox = world.sandbox().await;
        println!("{:?}", world.say(&sandbox, "id; ls -la /; ls /bin | wc -l", |config| config.image = spec).await.0);
        world.close().await;
    };
    super::tell(bench);
}
