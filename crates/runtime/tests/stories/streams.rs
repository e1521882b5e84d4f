//! What travels by URL: over a WebSocket as a client would open it, by hand.
use super::world::World;
use cri::v1::*;
use std::time::Duration;
use stream::websocket::frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Opens a WebSocket to a URL of the streaming server.
async fn websocket(url: &str) -> TcpStream {
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /{path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection
}

async fn send(connection: &mut TcpStream, message: &[u8]) {
    connection.write_all(&frame::encode(frame::BINARY, &[message], Some([1, 2, 3, 4]))).await.unwrap();
}

/// What comes until the connection ends.
async fn all_of(mut connection: TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), connection.read_to_end(&mut bytes)).await;
    read.expect("the server ends the connection").unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

pub async fn an_attachment_ends_with_its_input() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let id = world.start_with(&sandbox, "cat; echo over", |config| config.stdin = true).await.unwrap();
    for word in ["first", "second"] {
        let request = AttachRequest { container_id: id.clone(), stdin: true, stdout: true, ..Default::default() };
        let mut client = websocket(&cri::Runtime::attach(&*world.runtime, request).await.unwrap().url).await;
        send(&mut client, format!("\0{word}\n").as_bytes()).await;
        send(&mut client, &[255, 0]).await;
        let text = all_of(client).await;
        assert!(text.contains(&format!("\u{1}{word}\n")) && text.contains(r#"{"status":"Success"}"#) && !text.contains("over"), "{text}");
    }
    world.close().await;
}

pub async fn a_program_ends_with_its_client() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let id = world.start(&sandbox, "sleep 1000").await;
    let cmd = ["sh", "-c", "touch /begun; sleep 1000; true"].map(String::from).to_vec();
    let request = ExecRequest { container_id: id.clone(), cmd, stdout: true, ..Default::default() };
    let client = websocket(&cri::Runtime::exec(&*world.runtime, request).await.unwrap().url).await;
    // Once it has begun, its client goes; then it is gone as well.
    assert_eq!(code_of(&world, &id, "until [ -e /begun ]; do sleep 0.01; done").await, 0);
    drop(client);
    let gone = "for i in $(seq 1000); do [ $(ps | grep -c '[b]egun') = 0 ] && exit 0; sleep 0.01; done; exit 1";
    assert_eq!(code_of(&world, &id, gone).await, 0);
    world.close().await;
}

pub async fn a_terminal_takes_the_clients_size() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let id = world.start(&sandbox, "sleep 1000").await;
    let cmd = ["sh", "-c", "until stty size 2>/dev/null | grep 33; do sleep 0.01; done"].map(String::from).to_vec();
    let request = ExecRequest { container_id: id, cmd, tty: true, stdin: true, stdout: true, ..Default::default() };
    let mut client = websocket(&cri::Runtime::exec(&*world.runtime, request).await.unwrap().url).await;
    send(&mut client, b"\x04{\"Width\":99,\"Height\":33}").await;
    let text = all_of(client).await;
    assert!(text.contains("33 99"), "{text}");
    world.close().await;
}

/// The exit code of a script run in a container.
async fn code_of(world: &World, id: &str, script: &str) -> i32 {
    let command = ["sh", "-c", script].map(String::from);
    world.runtime.exec_and_wait(id, &command, None).await.unwrap().unwrap().2
}
