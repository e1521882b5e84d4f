//! Multiplexed streams over one upgraded connection: what exec, attach and port-forward need on the server's side, over WebSocket
//! channels and over SPDY/3.1. A caller negotiates by the request's headers, upgrades, and gets streams of bytes that look alike
//! for every protocol. Nothing here starts a process, opens a socket or knows what Kubernetes' objects are.
pub mod flow;
pub mod negotiate;
pub mod port_forward;
pub mod remote_command;
pub mod spdy;
#[cfg(test)]
mod testing;
pub mod websocket;

pub use flow::{Gone, Input, Output};
pub use negotiate::Refusal;
