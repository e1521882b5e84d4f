//! The container runtime interface, CRI v1.
