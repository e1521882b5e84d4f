//! Floor 4: the API server. Every request goes the same way, a small file per step: route, authenticate, fairness, authorize,
//! decode, default, admit (mutate), validate, admit (validate), store, encode.
//! No handler here knows a kind by name; nothing but this crate touches the store.
pub mod request;
