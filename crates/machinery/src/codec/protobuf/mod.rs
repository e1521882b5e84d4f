//! `application/vnd.kubernetes.protobuf`, byte for byte as the original writes it: an envelope around a message of the schema table.
//! What never happens here: protobuf for kinds that the table does not know.
mod decode;
mod encode;
mod frame;

pub use decode::{decode, type_of};
pub use encode::encode;
pub use frame::{ListFrame, list_item, unwrapped, watch_frame};

/// What every body begins with.
pub const MAGIC: &[u8] = b"k8s\0";

/// Numbers of the envelope's fields (`runtime.Unknown`).
mod unknown {
    pub const TYPE_META: u32 = 1;
    pub const RAW: u32 = 2;
    pub const CONTENT_ENCODING: u32 = 3;
    pub const CONTENT_TYPE: u32 = 4;
    pub const API_VERSION: u32 = 1;
    pub const KIND: u32 = 2;
}

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;
