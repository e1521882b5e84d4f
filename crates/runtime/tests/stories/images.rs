//! Images from a registry, which these stories play themselves: a server of two documents and a layer that asks for a token.
use super::world::World;
use cri::v1::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// Serves `files` by path over HTTP, those below /v2/ to who brings the token; ends with the test.
async fn registry(files: BTreeMap<String, Vec<u8>>) -> u16 {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let files = Arc::new(files);
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(serve(BufReader::new(connection), files.clone(), port));
        }
    });
    port
}

async fn serve(mut connection: BufReader<tokio::net::TcpStream>, files: Arc<BTreeMap<String, Vec<u8>>>, port: u16) -> Option<()> {
    let (mut path, mut line, mut allowed) = (String::new(), String::new(), false);
    while connection.read_line(&mut line).await.ok()? > 2 {
        if path.is_empty() {
            path = line.split(' ').nth(1)?.split('?').next()?.to_owned();
        }
        allowed |= line.to_ascii_lowercase().starts_with("authorization: bearer secret");
        line.clear();
    }
    let challenge = format!("WWW-Authenticate: Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"s\"\r\n");
    let (status, extra, body) = match files.get(&path) {
        _ if path == "/token" => ("200 OK", String::new(), br#"{"token":"secret"}"#.to_vec()),
        _ if !allowed => ("401 Unauthorized", challenge, Vec::new()),
        Some(body) => ("200 OK", String::new(), body.clone()),
        None => ("404 Not Found", String::new(), Vec::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{extra}\r\n", body.len());
    connection.write_all(head.as_bytes()).await.ok()?;
    connection.write_all(&body).await.ok()
}

/// The files of a registry that offers the world's own image as `r.test/some/busybox:1`.
fn offer(world: &World, spoil: bool) -> BTreeMap<String, Vec<u8>> {
    let store = world.runtime.images();
    let image = store.find(super::world::IMAGE).unwrap();
    let blob = |digest: &str| std::fs::read(store.blob_path(digest).unwrap()).unwrap();
    let manifest: runtime::image::config::Manifest = store.read_document(&image.manifest).unwrap();
    let mut files = BTreeMap::from([("/v2/some/busybox/manifests/1".to_string(), blob(&image.manifest))]);
    for digest in manifest.layers.iter().map(|layer| &layer.digest).chain([&image.id]) {
        files.insert(format!("/v2/some/busybox/blobs/{digest}"), blob(digest));
    }
    if spoil {
        files.get_mut(&format!("/v2/some/busybox/blobs/{}", manifest.layers[0].digest)).unwrap()[5000] ^= 1;
    }
    files
}

fn spec(image: &str) -> Option<ImageSpec> {
    Some(ImageSpec { image: image.into(), ..Default::default() })
}

async fn with_mirror(files: BTreeMap<String, Vec<u8>>) -> World {
    let port = registry(files).await;
    World::open_bare(|config| drop(config.registries.mirrors.insert("r.test".into(), vec![format!("http://127.0.0.1:{port}")]))).await
}

pub async fn an_image_is_pulled() {
    let source = World::open().await;
    let (whole, spoilt) = (offer(&source, false), offer(&source, true));
    source.close().await;
    let world = with_mirror(whole).await;
    let name = "r.test/some/busybox:1";
    let pulled = cri::Images::pull_image(&*world.runtime, PullImageRequest { image: spec(name), ..Default::default() }).await.unwrap();
    assert!(pulled.image_ref.starts_with("r.test/some/busybox@sha256:"), "{}", pulled.image_ref);
    let sandbox = world.sandbox().await;
    let (log, _) = world.say(&sandbox, "echo pulled", |config| config.image = spec(&pulled.image_ref)).await;
    assert_eq!(log, ["stdout F pulled"]);
    let status = async |name: &str| {
        cri::Images::image_status(&*world.runtime, ImageStatusRequest { image: spec(name), verbose: false }).await.unwrap().image
    };
    let image = status(name).await.unwrap();
    assert_eq!((&image.repo_tags, status(&image.id).await.as_ref()), (&vec![name.to_string()], Some(&image)));
    // Removed, the image is not known any more; what runs on it is not disturbed.
    let id = world
        .start_with(&sandbox, "while [ ! -e /tmp/go ]; do sleep 0.02; done; cat /etc/group | head -n 1", |config| config.image = spec(name))
        .await
        .unwrap();
    cri::Images::remove_image(&*world.runtime, RemoveImageRequest { image: spec(name) }).await.unwrap();
    cri::Images::remove_image(&*world.runtime, RemoveImageRequest { image: spec(name) }).await.unwrap();
    assert!(status(name).await.is_none());
    world.exec(&id, "touch /tmp/go").await;
    world.ended(&id).await;
    assert_eq!(world.log_of(&id).await, ["stdout F root:x:0:"]);
    world.close().await;
    let world = with_mirror(spoilt).await;
    let error = cri::Images::pull_image(&*world.runtime, PullImageRequest { image: spec(name), ..Default::default() }).await.unwrap_err();
    assert!(error.message().contains("has digest"), "{error}");
    assert!(cri::Images::list_images(&*world.runtime, ListImagesRequest::default()).await.unwrap().images.is_empty());
    world.close().await;
}

pub async fn a_missing_image_is_told() {
    let port = registry(BTreeMap::new()).await;
    let world = World::open_bare(|_| {}).await;
    let pull = async |name: &str| {
        cri::Images::pull_image(&*world.runtime, PullImageRequest { image: spec(name), ..Default::default() }).await.unwrap_err()
    };
    let error = pull(&format!("127.0.0.1:{port}/a/b:c")).await;
    assert_eq!(error.code(), cri::Code::NotFound);
    assert!(error.message().ends_with(&format!("127.0.0.1:{port}/a/b:c: not found")), "{error}");
    let error = pull("127.0.0.1:1/a/b:c").await;
    assert!(error.message().contains("dial tcp 127.0.0.1:1: Connection refused"), "{error}");
    assert_eq!(pull("UPPER").await.code(), cri::Code::InvalidArgument);
    world.close().await;
}
