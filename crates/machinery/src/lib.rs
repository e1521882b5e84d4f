//! What all API objects share: the `Kind` descriptor, `Status`, field errors, decoding and encoding, patches, apply, selectors.
//! What never happens here: I/O, clocks, randomness, tokio; nothing knows a kind by name.
pub mod apply;
pub mod codec;
pub mod errors;
pub mod kind;
pub mod meta;
pub mod object;
pub mod openapi;
pub mod quantity;
pub mod schema;
pub mod status;

pub mod content;
pub mod patch;
pub mod selector;
pub mod table;
