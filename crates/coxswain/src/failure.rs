//! What a command that failed tells: what was wrong and, where it is known, what would be right.
use std::fmt::Display;

#[derive(Debug)]
pub struct Failure(pub String);

impl Failure {
    pub fn new(what: impl Display) -> Failure {
        Failure(what.to_string())
    }

    #[allow(clippy::print_stderr)]
    pub fn tell(&self) {
        eprintln!("coxswain: {}", self.0);
    }
}

/// Any error becomes a failure, with what was being done in front.
pub trait Doing<T> {
    fn doing(self, what: impl Display) -> Result<T, Failure>;
}

impl<T, E: Display> Doing<T> for Result<T, E> {
    fn doing(self, what: impl Display) -> Result<T, Failure> {
        self.map_err(|error| Failure(format!("{what}: {error}")))
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::new(error)
    }
}
