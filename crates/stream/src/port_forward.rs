//! Port-forward: connections to ports, each with a stream for an error's text, over SPDY, SPDY inside a WebSocket, or the older
//! WebSocket channels (two for each port). Nothing is connected here; whoever takes a `Forward` moves its bytes.
mod channels;
mod pairs;

use crate::flow::{Input, Output};
use crate::negotiate::{self, Refusal};
use crate::{spdy, websocket};
use http::{HeaderMap, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

/// How many ports the older protocol may name: channels have one byte.
pub const PORTS_LIMIT: usize = 100;
/// How many connections may wait to be taken.
const ACCEPT_LIMIT: usize = 8;

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Spdy,
    /// SPDY inside a WebSocket.
    Tunnel,
    /// The older WebSocket channels.
    Channels {
        base64: bool,
    },
}

const WEBSOCKET: &[&str] = &["SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", ""];
const SPDY: &[&str] = &["portforward.k8s.io"];

/// One connection to a port.
pub struct Forward {
    pub port: u16,
    pub input: Input,
    pub output: Output,
    errors: Output,
}

impl Forward {
    /// Both sides are done.
    pub async fn finish(self) {
        self.output.finish().await;
        self.errors.finish().await;
    }

    /// Tells the client why it cannot be, and ends the connection.
    pub async fn fail(self, text: &str) {
        self.errors.send(text.as_bytes()).await.ok();
        self.errors.finish().await;
        self.output.reset().await;
    }
}

/// Connections as the client asks for them.
pub struct Forwards(mpsc::Receiver<Forward>);

impl Forwards {
    /// The next one; `None` when the client is gone.
    pub async fn next(&mut self) -> Option<Forward> {
        self.0.recv().await
    }
}

/// Agrees on a protocol by the request's headers: it, and the answer that switches to it.
pub fn negotiate(headers: &HeaderMap) -> Result<(Protocol, Response<()>), Refusal> {
    if !negotiate::is_websocket(headers) {
        return negotiate::spdy(headers, SPDY).map(|(_, response)| (Protocol::Spdy, response));
    }
    let (name, response) = negotiate::websocket(headers, WEBSOCKET)?;
    let protocol = if name.starts_with("SPDY/") { Protocol::Tunnel } else { Protocol::Channels { base64: name.contains("base64") } };
    Ok((protocol, response))
}

/// Opens what was agreed on. `ports` are those of the request, which only the older protocol needs.
pub async fn open<IO>(io: IO, protocol: Protocol, ports: &[u16]) -> Forwards
where
    IO: AsyncRead + AsyncWrite + Send + 'static,
{
    let (accepting, accepted) = mpsc::channel(ACCEPT_LIMIT);
    match protocol {
        Protocol::Spdy => drop(tokio::spawn(pairs::pair(spdy::serve(io, pairs::check), accepting))),
        Protocol::Tunnel => drop(tokio::spawn(pairs::pair(spdy::serve(websocket::tunnel(io), pairs::check), accepting))),
        Protocol::Channels { base64 } => channels::open(io, base64, ports, accepting).await,
    }
    Forwards(accepted)
}

#[cfg(test)]
mod tests;
