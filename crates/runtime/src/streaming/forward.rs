//! port-forward: each connection that the client asks for becomes one to the port inside the sandbox.
use crate::runtime::Runtime;
use cri::v1::PortForwardRequest;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use stream::port_forward::{self, Forward, Protocol};
use stream::{Input, Output};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinSet;

const BUFFER_BYTES: usize = 32 * 1024;

pub async fn forward(runtime: Arc<Runtime>, asked: PortForwardRequest, io: TokioIo<Upgraded>, protocol: Protocol) {
    let ports: Vec<u16> = asked.port.iter().filter_map(|port| u16::try_from(*port).ok()).collect();
    let mut forwards = port_forward::open(io, protocol, &ports).await;
    // Ends with all connections when the client goes.
    let mut connections = JoinSet::new();
    while let Some(forward) = forwards.next().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(connect(runtime.clone(), asked.pod_sandbox_id.clone(), forward));
    }
}

async fn connect(runtime: Arc<Runtime>, sandbox: String, mut forward: Forward) {
    match runtime.connect_port(&sandbox, forward.port).await {
        Ok(connection) => {
            carry(connection, &mut forward.input, &forward.output).await;
            forward.finish().await;
        }
        Err(problem) => {
            let text = format!("error forwarding port {} to pod {sandbox}, uid : {problem}", forward.port);
            tracing::debug!(sandbox, port = forward.port, %problem, "a port was not forwarded");
            forward.fail(&text).await;
        }
    }
}

/// Until both sides have said all, or the client has closed its own.
async fn carry(connection: TcpStream, input: &mut Input, output: &Output) {
    connection.set_nodelay(true).ok();
    let (reading, writing) = connection.into_split();
    tokio::join!(send(input, writing), receive(reading, output));
}

async fn send(input: &mut Input, mut to: OwnedWriteHalf) {
    while let Some(bytes) = input.next().await {
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    to.shutdown().await.ok();
}

async fn receive(mut from: OwnedReadHalf, output: &Output) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if output.send(&buffer[..count]).await.is_err() {
            return;
        }
    }
    output.finish().await;
}
