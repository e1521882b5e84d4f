//! The core group, v1.
pub mod claim;
mod names;
pub mod pod;
pub mod resources;

use machinery::kind::DynKind;

pub static KINDS: &[&dyn DynKind] = &[&pod::POD, &claim::PERSISTENT_VOLUME_CLAIM];
