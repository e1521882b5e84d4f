//! Pod: the unit that is scheduled and run. Defaults, checks, what each door may change, columns.
pub mod default;
pub mod validate;

pub use default::{default_pod_spec, default_pod_template};
pub use validate::{validate_pod_spec, validate_pod_template};
