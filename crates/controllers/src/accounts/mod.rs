//! Controllers for identities and what they need: service accounts, the cluster's CA, certificates, bootstrap tokens, roles.
pub mod aggregation;
pub mod bootstrap;
pub mod certificates;
pub mod rootca;
pub mod serviceaccount;
