//! One request to one resource, after routing and authorization, as the verbs take it.
use super::attributes::Attributes;
use super::options::Options;
use super::plugs::{AdmissionRequest, Operation, Warnings};
use super::query::Query;
use crate::encode::media::{Accept, Offer};
use crate::kinds::Served;
use crate::server::State;
use bytes::Bytes;
use client::Body;
use http::request::Parts;
use http::{HeaderMap, Method, Response, header};
use machinery::object::AnyObject;
use machinery::status::{Reason, Status};
use parking_lot::Mutex;
use std::sync::Arc;

pub type Answer = Result<Response<Body>, Status>;

/// Bodies larger than this are refused.
pub const MAX_BODY_BYTES: usize = 3 << 20;

pub struct Call {
    pub state: Arc<State>,
    pub served: Arc<Served>,
    pub attributes: Attributes,
    pub query: Query,
    /// The request's head; its extensions are the connection's.
    pub parts: Arc<Parts>,
    /// The path behind the subresource, with its slash.
    pub rest: String,
    /// The caller takes objects instead of bytes.
    pub in_process: bool,
    pub warnings: Warnings,
    pub body: Mutex<Option<Body>>,
    /// For connections that are taken over: how the server hands them out.
    pub upgrade: Mutex<Option<hyper::upgrade::OnUpgrade>>,
}

impl Call {
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    pub fn group(&self) -> &str {
        self.served.kind.names().group
    }

    pub fn resource(&self) -> &str {
        self.served.kind.names().plural
    }

    pub fn key(&self) -> String {
        self.served.kind.names().key(self.namespace(), &self.attributes.name)
    }

    /// Empty for cluster-scoped kinds, namespaces themselves among them.
    pub fn namespace(&self) -> &str {
        if self.served.kind.names().namespaced { &self.attributes.namespace } else { "" }
    }

    pub fn not_found(&self) -> Status {
        Status::not_found(self.group(), self.resource(), &self.attributes.name)
    }

    pub fn conflict(&self, why: &str) -> Status {
        Status::conflict(self.group(), self.resource(), &self.attributes.name, why)
    }

    pub fn user_agent(&self) -> &str {
        self.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Another request on behalf of this one: same user, other object.
    pub fn derived(&self, served: &Arc<Served>, attributes: Attributes) -> Call {
        Call {
            state: self.state.clone(),
            served: served.clone(),
            attributes,
            query: Query::default(),
            parts: self.parts.clone(),
            rest: String::new(),
            in_process: self.in_process,
            warnings: Warnings::default(),
            body: Mutex::new(None),
            upgrade: Mutex::new(None),
        }
    }

    pub fn accept(&self, offer: Offer) -> Result<Accept, Status> {
        Accept::negotiate(self.headers(), self.query.flag("pretty"), offer)
    }

    /// The whole body; empty the second time.
    pub async fn read_body(&self) -> Result<Bytes, Status> {
        let body = self.body.lock().take().unwrap_or_default();
        let bytes = body.bytes(MAX_BODY_BYTES).await.map_err(|error| Status::bad_request(error.to_string()))?;
        let message = format!("limit is {MAX_BODY_BYTES}");
        bytes.ok_or_else(|| Status::new(Reason::RequestEntityTooLarge, format!("Request entity too large: {message}")))
    }

    /// The same request with the name that a new object has got.
    pub fn named(&self, object: &dyn AnyObject) -> Named<'_> {
        let name = object.meta().name.clone().unwrap_or_default();
        let namespace = object.meta().namespace.clone().unwrap_or_default();
        let namespace = if self.served.kind.names().kind == "Namespace" && self.group().is_empty() { name.clone() } else { namespace };
        Named { call: self, attributes: Attributes { name, namespace, ..self.attributes.clone() } }
    }

    pub fn admission<'a>(&'a self, operation: Operation, old: Option<&'a dyn AnyObject>, options: &'a Options) -> AdmissionRequest<'a> {
        let kind = &*self.served.kind;
        AdmissionRequest { attributes: &self.attributes, operation, kind, old, options, warnings: &self.warnings }
    }
}

/// A request whose object's name is known only from the object.
pub struct Named<'a> {
    call: &'a Call,
    attributes: Attributes,
}

impl Named<'_> {
    pub fn key(&self) -> String {
        let names = self.call.served.kind.names();
        names.key(if names.namespaced { &self.attributes.namespace } else { "" }, &self.attributes.name)
    }

    pub fn exists(&self) -> Status {
        Status::already_exists(self.call.group(), self.call.resource(), &self.attributes.name)
    }

    pub fn admission<'a>(&'a self, operation: Operation, old: Option<&'a dyn AnyObject>, options: &'a Options) -> AdmissionRequest<'a> {
        AdmissionRequest { attributes: &self.attributes, ..self.call.admission(operation, old, options) }
    }
}
