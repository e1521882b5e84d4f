//! exec and attach: standard streams, terminal sizes and an end with its status, over any of the protocols that clients speak.
//! A session starts nothing; whoever opens it moves the bytes and tells how it ended.
mod open;
mod resize;
mod status;

pub use open::{OpenError, open};
pub use resize::{Sizes, TerminalSize};
pub use status::Exit;

use crate::flow::{Input, Line, Output};
use crate::negotiate::{self, Refusal};
use crate::{spdy, websocket};
use http::{HeaderMap, Response};

/// Which streams were asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    transport: Transport,
    version: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    WebSocket { base64: bool },
    Spdy,
}

/// The streams of one running command, as far as they were asked for.
pub struct Session {
    pub stdin: Option<Input>,
    pub stdout: Option<Output>,
    pub stderr: Option<Output>,
    pub sizes: Sizes,
    pub end: End,
}

/// By which a session ends.
pub struct End {
    line: Line,
    errors: Output,
    protocol: Protocol,
}

const WEBSOCKET: &[&str] =
    &["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io", ""];
const SPDY: &[&str] = &["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];

/// Agrees on a protocol by the request's headers: it, and the answer that switches to it.
pub fn negotiate(headers: &HeaderMap) -> Result<(Protocol, Response<()>), Refusal> {
    let is_websocket = negotiate::is_websocket(headers);
    let (name, response) = if is_websocket { negotiate::websocket(headers, WEBSOCKET)? } else { negotiate::spdy(headers, SPDY)? };
    let version = match name.as_bytes() {
        [b'v', digit, b'.', ..] => digit - b'0',
        _ => 1,
    };
    let transport = if is_websocket { Transport::WebSocket { base64: name.contains("base64") } } else { Transport::Spdy };
    Ok((Protocol { transport, version }, response))
}

impl End {
    /// Returns when the client is gone.
    pub async fn closed(&self) {
        self.line.closed().await;
    }

    /// Tells the client how it ended, and closes the connection once everything has been sent.
    pub async fn report(self, exit: &Exit) {
        // Protocols before v4 know a text for failures only.
        let text = if self.protocol.version >= 4 { exit.status() } else { exit.message() };
        if !text.is_empty() {
            self.errors.send(text.as_bytes()).await.ok();
        }
        self.errors.finish().await;
        let farewell = match self.protocol.transport {
            Transport::WebSocket { .. } => websocket::frame::encode_close(websocket::frame::close::NORMAL),
            Transport::Spdy => spdy::farewell(),
        };
        self.line.send_last(farewell).await;
    }
}

#[cfg(test)]
mod tests;
