//! Images on the node: who may pull them, and which are to go when the disk is full. Pure.
pub mod auth;
pub mod garbage;
