//! The group storage: its kinds with code of their own.
use machinery::kind::DynKind;

pub static KINDS: &[&dyn DynKind] = &[];
