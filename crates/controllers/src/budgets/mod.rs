//! Controllers that count: how many pods may be missing, and how much a namespace uses.
pub mod disruption;
pub mod quota;
pub mod usage;
