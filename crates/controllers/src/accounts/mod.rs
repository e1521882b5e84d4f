//! Controllers for identities and what they need: service accounts and the cluster's CA.
pub mod rootca;
pub mod serviceaccount;
