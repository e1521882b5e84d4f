//! The core group, v1.
pub mod pod;

use machinery::kind::DynKind;

pub static KINDS: &[&dyn DynKind] = &[];
