//! Selectors: by labels (text form, and the `LabelSelector` of the API) and by fields. Parsing, printing, matching.
mod field;
mod label;
mod lexer;

pub use field::{FieldSelector, FieldTerm};
pub use label::{Operator, Requirement, Selector};

/// Why a selector could not be read; the text is the original's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub(crate) String);

pub(crate) fn refuse<T>(message: impl Into<String>) -> Result<T, SelectorError> {
    Err(SelectorError(message.into()))
}

#[cfg(test)]
mod tests;
