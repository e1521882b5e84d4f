//! The service proxy: Services and EndpointSlices become elements of nftables maps, in a table of its own.
//! A service is map elements, never rules: the chains depend only on how many endpoints a service has. One change to a service
//! sends the difference of its elements, in one batch, whatever the number of services.
//! `endpoints` and `model` decide and are pure; `table` and `sync` carry out.
pub mod conntrack;
pub mod endpoints;
pub mod model;
pub mod sync;
pub mod table;

pub use sync::{Config, Proxy};
