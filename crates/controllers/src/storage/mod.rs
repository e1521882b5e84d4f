//! Controllers of storage: what is in use is not taken away, and claims find volumes.
pub mod binder;
pub mod protection;
