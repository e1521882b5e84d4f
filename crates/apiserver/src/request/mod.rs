//! What every step of a request needs to know, and the steps that others plug in: who it is, whether they may, what admission
//! changes or refuses. This module decides nothing itself.
pub mod attributes;
pub mod call;
pub mod options;
pub mod plugs;
pub mod query;

pub use attributes::{Attributes, PeerCertificates};
pub use options::{Deletion, FieldValidation, Options, Preconditions, Propagation};
pub use plugs::{
    Admission, AdmissionRequest, AllowAll, Authenticator, Authorizer, Decision, NoAdmission, Operation, Reviews, TokenIssuer, Warnings,
};
