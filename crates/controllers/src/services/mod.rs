//! Controllers that publish where services answer: EndpointSlices, Endpoints, and the mirroring of hand-made Endpoints.
pub mod backends;
pub mod endpoints;
pub mod endpointslice;
pub mod mirroring;
pub mod slices;
