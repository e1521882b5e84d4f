//! The typed client: verbs over `k8s_openapi` types. Paths come from the types; bodies go as JSON.
use crate::body::Body;
use crate::error::Error;
use crate::identity::Identity;
use crate::service::{InProcess, Service};
use http::{Method, Request, Response, header};
use k8s_openapi::NamespaceResourceScope;
use machinery::object::{EventKind, Resource};
use machinery::status::Status;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;

/// Answers larger than this are refused.
const MAX_ANSWER_BYTES: usize = 1 << 30;
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'&').add(b'+').add(b'<').add(b'>').add(b'=').add(b'!');

/// One connection to the API server with one identity; cheap to clone.
#[derive(Clone)]
pub struct Client {
    service: Arc<dyn Service>,
    /// In process: the component's own identity. Remote: the connection carries it.
    identity: Option<Identity>,
    user_agent: &'static str,
}

#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Empty: all namespaces.
    pub namespace: String,
    pub label_selector: String,
    pub field_selector: String,
}

#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    pub grace_period_seconds: Option<i64>,
    /// `Foreground`, `Background`, `Orphan`.
    pub propagation_policy: Option<&'static str>,
    /// Deleted only while it is still this object.
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

/// A patch with its media type.
#[derive(Clone, Debug)]
pub enum Patch {
    Json(Value),
    Merge(Value),
    Strategic(Value),
    Apply { value: Value, manager: &'static str, force: bool },
}

impl Client {
    pub fn in_process(service: Arc<dyn Service>, identity: Identity, user_agent: &'static str) -> Client {
        Client { service, identity: Some(identity), user_agent }
    }

    pub fn remote(service: Arc<dyn Service>, user_agent: &'static str) -> Client {
        Client { service, identity: None, user_agent }
    }

    /// The path of a resource: `path::<Pod>("default", "web", "status")`; empty parts are left out.
    pub fn path<T: k8s_openapi::Resource>(namespace: &str, name: &str, subresource: &str) -> String {
        let mut path = match T::GROUP {
            "" => format!("/api/{}", T::VERSION),
            group => format!("/apis/{group}/{}", T::VERSION),
        };
        if !namespace.is_empty() {
            path += &format!("/namespaces/{namespace}");
        }
        for part in [T::URL_PATH_SEGMENT, name, subresource] {
            if !part.is_empty() {
                path += &format!("/{part}");
            }
        }
        path
    }

    pub async fn get<T: Resource>(&self, namespace: &str, name: &str) -> Result<Arc<T>, Error> {
        self.object(Method::GET, &Client::path::<T>(namespace, name, ""), None).await
    }

    /// `None` instead of an error when it is not there.
    pub async fn find<T: Resource>(&self, namespace: &str, name: &str) -> Result<Option<Arc<T>>, Error> {
        match self.get(namespace, name).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Everything that matches, with the resourceVersion of the list.
    pub async fn list<T: Resource>(&self, options: &ListOptions) -> Result<(Vec<Arc<T>>, String), Error> {
        let path = format!("{}?{}", Client::path::<T>(&options.namespace, "", ""), options.query());
        let body = self.send(Method::GET, &path, None).await?;
        if let Body::List { objects, revision, .. } = body {
            let decode = |stored: &Arc<machinery::object::Stored>| stored.decoded::<T>().map_err(|error| Error::Decode(error.to_string()));
            return Ok((objects.iter().map(decode).collect::<Result<_, _>>()?, revision.to_string()));
        }
        let mut list: Value = read(body).await?;
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_string();
        let items = match list["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        let decode = |item| serde_json::from_value(item).map(Arc::new).map_err(|error| Error::Decode(error.to_string()));
        Ok((items.into_iter().map(decode).collect::<Result<_, _>>()?, version))
    }

    pub async fn create<T: Resource>(&self, namespace: &str, object: &T) -> Result<Arc<T>, Error> {
        self.object(Method::POST, &Client::path::<T>(namespace, "", ""), Some(json_body(object))).await
    }

    pub async fn update<T: Resource>(&self, object: &T) -> Result<Arc<T>, Error> {
        self.update_subresource(object, "").await
    }

    pub async fn update_status<T: Resource>(&self, object: &T) -> Result<Arc<T>, Error> {
        self.update_subresource(object, "status").await
    }

    pub async fn update_subresource<T: Resource>(&self, object: &T, subresource: &str) -> Result<Arc<T>, Error> {
        let meta = object.metadata();
        let (namespace, name) = (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
        self.object(Method::PUT, &Client::path::<T>(namespace, name, subresource), Some(json_body(object))).await
    }

    pub async fn patch<T: Resource>(&self, namespace: &str, name: &str, subresource: &str, patch: &Patch) -> Result<Arc<T>, Error> {
        let (media, body, query) = match patch {
            Patch::Json(value) => ("application/json-patch+json", value, String::new()),
            Patch::Merge(value) => ("application/merge-patch+json", value, String::new()),
            Patch::Strategic(value) => ("application/strategic-merge-patch+json", value, String::new()),
            Patch::Apply { value, manager, force } => {
                ("application/apply-patch+yaml", value, format!("?fieldManager={manager}&force={force}"))
            }
        };
        let path = Client::path::<T>(namespace, name, subresource) + &query;
        let response = self.raw(Method::PATCH, &path, Some((media, json_body(body)))).await?;
        one(response).await
    }

    pub async fn delete<T: Resource>(&self, namespace: &str, name: &str, options: &DeleteOptions) -> Result<(), Error> {
        self.send(Method::DELETE, &Client::path::<T>(namespace, name, ""), Some(json_body(&options.to_value()))).await.map(drop)
    }

    /// POSTs to a subresource (`binding`, `eviction`, `token`) and reads the answer as `O`.
    pub async fn create_subresource<T: Resource, O: DeserializeOwned>(
        &self,
        namespace: &str,
        name: &str,
        subresource: &str,
        body: &Value,
    ) -> Result<O, Error> {
        read(self.send(Method::POST, &Client::path::<T>(namespace, name, subresource), Some(json_body(body))).await?).await
    }

    /// POSTs to a cluster-scoped virtual resource (reviews) and reads the answer.
    pub async fn post<O: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<O, Error> {
        read(self.send(Method::POST, path, Some(json_body(body))).await?).await
    }

    /// One request as it is; a refusal comes back as `Error::Api`.
    pub async fn raw(&self, method: Method, path: &str, body: Option<(&str, Body)>) -> Result<Body, Error> {
        let builder = Request::builder().method(method).uri(path).header(header::USER_AGENT, self.user_agent);
        let builder = builder.header(header::ACCEPT, "application/json");
        let request = match body {
            Some((media, body)) => builder.header(header::CONTENT_TYPE, media).body(body),
            None => builder.body(Body::Empty),
        };
        let request = request.map_err(|error| Error::Transport(error.to_string()))?;
        let response = self.call(request).await;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        Err(refusal(response).await)
    }

    /// One request with its whole answer; puts the identity on.
    pub async fn call(&self, mut request: Request<Body>) -> Response<Body> {
        if let Some(identity) = &self.identity {
            request.extensions_mut().insert(identity.clone());
            request.extensions_mut().insert(InProcess);
        }
        self.service.call(request).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<Body>) -> Result<Body, Error> {
        self.raw(method, path, body.map(|body| ("application/json", body))).await
    }

    async fn object<T: Resource>(&self, method: Method, path: &str, body: Option<Body>) -> Result<Arc<T>, Error> {
        one(self.send(method, path, body).await?).await
    }
}

/// Types that live in a namespace.
pub trait Namespaced: k8s_openapi::Resource<Scope = NamespaceResourceScope> {}
impl<T: k8s_openapi::Resource<Scope = NamespaceResourceScope>> Namespaced for T {}

impl ListOptions {
    pub fn labels(selector: impl Into<String>) -> ListOptions {
        ListOptions { label_selector: selector.into(), ..ListOptions::default() }
    }

    pub fn fields(selector: impl Into<String>) -> ListOptions {
        ListOptions { field_selector: selector.into(), ..ListOptions::default() }
    }

    pub fn query(&self) -> String {
        let pairs = [("labelSelector", &self.label_selector), ("fieldSelector", &self.field_selector)];
        let given = pairs.iter().filter(|(_, value)| !value.is_empty());
        given.map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, QUERY))).collect::<Vec<_>>().join("&")
    }
}

impl DeleteOptions {
    fn to_value(&self) -> Value {
        let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
        if let Some(seconds) = self.grace_period_seconds {
            options["gracePeriodSeconds"] = seconds.into();
        }
        if let Some(policy) = self.propagation_policy {
            options["propagationPolicy"] = policy.into();
        }
        if let Some(uid) = &self.uid {
            options["preconditions"]["uid"] = uid.as_str().into();
        }
        if let Some(version) = &self.resource_version {
            options["preconditions"]["resourceVersion"] = version.as_str().into();
        }
        options
    }
}

fn json_body(value: &impl serde::Serialize) -> Body {
    Body::Full(serde_json::to_vec(value).expect("an API object has a JSON form").into())
}

async fn one<T: Resource>(body: Body) -> Result<Arc<T>, Error> {
    match body {
        Body::Object(stored) => stored.decoded().map_err(|error| Error::Decode(error.to_string())),
        body => read(body).await.map(Arc::new),
    }
}

pub(crate) async fn read<O: DeserializeOwned>(body: Body) -> Result<O, Error> {
    let bytes = body.bytes(MAX_ANSWER_BYTES).await.map_err(|error| Error::Transport(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| Error::Decode(format!("it has more than {MAX_ANSWER_BYTES} bytes")))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Decode(error.to_string()))
}

pub(crate) async fn refusal(response: Response<Body>) -> Error {
    let code = response.status();
    match read::<Value>(response.into_body()).await {
        Ok(value) => Error::Api(Box::new(Status { code: code.as_u16(), ..Status::from_value(&value) })),
        Err(_) => Error::Transport(format!("the server answered {code}")),
    }
}

/// The name of an event on the wire.
pub(crate) fn event_kind(name: &str) -> Option<EventKind> {
    Some(match name {
        "ADDED" => EventKind::Added,
        "MODIFIED" => EventKind::Modified,
        "DELETED" => EventKind::Deleted,
        "BOOKMARK" => EventKind::Bookmark,
        _ => return None,
    })
}
