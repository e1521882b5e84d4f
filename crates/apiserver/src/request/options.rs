//! The options of writing requests, from the query or from `DeleteOptions` in the body.

/// How a write is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub dry_run: bool,
    /// Who owns the fields that this write sets; empty if the client did not say.
    pub field_manager: String,
    /// Apply: take fields from other managers.
    pub force: Option<bool>,
    pub field_validation: FieldValidation,
    /// Deletions only.
    pub deletion: Deletion,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    /// Unknown and repeated fields leave as warnings: the server's default.
    #[default]
    Warn,
    Strict,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    pub grace_period_seconds: Option<i64>,
    pub propagation: Option<Propagation>,
    /// The older way to ask for `Orphan` (true) or `Background` (false).
    pub orphan_dependents: Option<bool>,
    pub preconditions: Preconditions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Foreground,
    Background,
    Orphan,
}

/// What must still hold of the object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}
