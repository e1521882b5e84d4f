//! What can go wrong with a request, as the caller sees it.
use machinery::status::{Reason, Status};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused.
    #[error(transparent)]
    Api(Box<Status>),
    /// The server was not reached, or the answer broke off.
    #[error("the API server cannot be reached: {0}")]
    Transport(String),
    #[error("the answer cannot be read: {0}")]
    Decode(String),
}

impl Error {
    pub fn is(&self, reason: Reason) -> bool {
        matches!(self, Error::Api(status) if status.reason == reason)
    }
    pub fn is_not_found(&self) -> bool {
        self.is(Reason::NotFound)
    }
    pub fn is_conflict(&self) -> bool {
        self.is(Reason::Conflict)
    }
    pub fn is_already_exists(&self) -> bool {
        self.is(Reason::AlreadyExists)
    }
    /// The watch's place is gone: list again.
    pub fn is_expired(&self) -> bool {
        self.is(Reason::Expired) || self.is(Reason::Gone)
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Error {
        Error::Api(Box::new(status))
    }
}
