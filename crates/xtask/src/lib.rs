//! Tools of the workspace as a library, so that tests can ask whether what is committed is what they write.
pub mod golden;
pub mod schema;
