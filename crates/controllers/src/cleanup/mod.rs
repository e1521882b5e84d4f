//! Controllers that take away what is no longer wanted.
pub mod finished;
pub mod garbage;
pub mod namespace;
pub mod pods;
