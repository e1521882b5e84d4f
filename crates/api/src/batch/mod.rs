//! The group batch: its kinds with code of their own.
pub mod cronjob;
pub mod job;
mod schedule;

use machinery::kind::DynKind;

pub static KINDS: &[&dyn DynKind] = &[&cronjob::CRONJOB, &job::JOB];

#[cfg(test)]
pub static MINIMAL: &[&str] = &[cronjob::MINIMAL, job::MINIMAL];

#[cfg(test)]
mod tests;
