//! Netlink as the pod network and the service proxy need it: messages built by hand, sent and acknowledged in one go.
//! It decides nothing and keeps no state; every call is one short exchange with the kernel.
pub mod conntrack;
pub mod link;
pub mod message;
pub mod nft;
pub mod socket;
#[cfg(feature = "testing")]
pub mod testing;

pub use socket::{Error, Socket, in_namespace};
