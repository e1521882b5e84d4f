//! SPDY/3.1 on the server's side, as far as Kubernetes' clients use it: streams that the client opens, replies, data, resets, pings.
//! Windows are neither granted nor kept (`spdystream`, the client, does not know them either): a reader who is slow slows the
//! connection. The server opens no streams.
mod connection;
pub mod dictionary;
pub mod frame;
pub mod headers;

pub use connection::{Connection, Stream, serve};
pub(crate) use connection::{Handle, farewell};
pub use headers::Headers;
