//! Floor 4: the API server. Every request goes the same way, a small file per step: route, authenticate, fairness, authorize,
//! decode, default, admit (mutate), validate, admit (validate), store, encode.
//! No handler here knows a kind by name; nothing but this crate touches the store.
pub mod admission;
pub mod auth;
pub mod authenticate;
pub mod authorize;
pub mod bootstrap;
pub mod discovery;
pub mod encode;
pub mod follow;
pub mod health;
pub mod kinds;
pub mod list;
pub mod metrics;
pub mod openapi;
pub mod own_writes;
pub mod paths;
pub mod request;
pub mod reviews;
pub mod route;
pub mod server;
pub mod subresource;
pub mod verbs;
pub mod watch;

pub use kinds::Kinds;
pub use server::{ApiServer, Config};
