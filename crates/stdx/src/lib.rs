//! Small modules of one idea each, below everything else. Nothing here knows what Kubernetes is.
pub mod backoff;
pub mod clock;
pub mod random;
