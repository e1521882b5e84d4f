//! WebSocket (RFC 6455) on the server's side: the handshake's key, frames, a reader of messages that answers pings, channels, and a
//! tunnel of plain bytes. No extensions: a frame that uses one is refused.
pub(crate) mod channels;
pub mod frame;
mod reader;
mod tunnel;

pub(crate) use reader::Reader;
pub use tunnel::tunnel;

use base64::Engine;

/// What `Sec-WebSocket-Accept` answers to a key. The digest and the text are the protocol's, and protect nothing.
pub fn accept_key(key: &[u8]) -> String {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key);
    digest.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(digest.finish())
}
