//! The node: what it is (`machine`), how it is told (`object`), and the task that tells it (`agent`).
pub mod agent;
pub mod machine;
pub mod object;
