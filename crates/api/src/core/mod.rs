//! The core group, v1.
use machinery::kind::DynKind;

pub static KINDS: &[&dyn DynKind] = &[];
