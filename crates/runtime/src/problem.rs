//! The one error of this crate: what was being done, and what went wrong. At the CRI edge it becomes a gRPC status.
use std::fmt::Display;

#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("{what}: {source}")]
    System { what: String, source: std::io::Error },
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Failed(String),
}

pub type Outcome<T> = Result<T, Problem>;

impl Problem {
    pub fn invalid(text: impl Display) -> Problem {
        Problem::Invalid(text.to_string())
    }

    pub fn failed(text: impl Display) -> Problem {
        Problem::Failed(text.to_string())
    }

    pub fn not_found(text: impl Display) -> Problem {
        Problem::NotFound(text.to_string())
    }
}

impl From<Problem> for cri::Status {
    fn from(problem: Problem) -> cri::Status {
        match &problem {
            Problem::System { .. } | Problem::Failed(_) => cri::Status::unknown(problem.to_string()),
            Problem::Invalid(_) => cri::Status::invalid_argument(problem.to_string()),
            Problem::NotFound(_) => cri::Status::not_found(problem.to_string()),
        }
    }
}

/// Adds what was being done to an error of the operating system.
pub trait Doing<T> {
    fn doing(self, what: impl Display) -> Outcome<T>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl Display) -> Outcome<T> {
        self.map_err(|source| Problem::System { what: what.to_string(), source })
    }
}
