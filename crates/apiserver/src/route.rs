//! From a method and a URL to what is asked for. Knows the shape of API paths, not which resources exist.
use crate::request::Attributes;
use crate::request::query::Query;
use http::Method;
use machinery::status::Status;
use percent_encoding::percent_decode_str;

/// What a path asks for.
#[derive(Clone, Debug, Default)]
pub struct Route {
    pub attributes: Attributes,
    /// What stands behind the subresource (`/proxy/<rest>`), undecoded, with its leading slash.
    pub rest: String,
    /// The older `/watch/` paths.
    pub forced_watch: bool,
}

/// Reads the path. It fails only for paths that cannot mean anything.
pub fn route(method: &Method, path: &str, query: &Query) -> Result<Route, Status> {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').filter(|part| !part.is_empty()).collect();
    let verb = method.as_str().to_ascii_lowercase();
    let plain = Route { attributes: Attributes { verb, path: path.into(), ..Attributes::default() }, ..Route::default() };
    let group = match parts.first() {
        Some(&"api") if parts.len() >= 3 => String::new(),
        Some(&"apis") if parts.len() >= 4 => parts.remove(1).to_string(),
        _ => return Ok(plain),
    };
    let version = parts[1].to_string();
    let mut parts = &parts[2..];
    let mut route = plain;
    route.attributes.verb = verb_of(method).into();
    if matches!(parts[0], "watch" | "proxy") {
        if parts.len() < 2 {
            return Err(Status::internal(format!("unable to determine kind and namespace from url, {path}")));
        }
        route.attributes.verb = parts[0].into();
        route.forced_watch = parts[0] == "watch";
        parts = &parts[1..];
    }
    let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    if parts[0] == "namespaces" && parts.len() > 1 {
        route.attributes.namespace = decode(parts[1]);
        if parts.len() > 2 && !matches!(parts[2], "status" | "finalize") {
            parts = &parts[2..];
        }
    }
    let part = |index: usize| parts.get(index).map(|part| decode(part)).unwrap_or_default();
    route.attributes = Attributes { group, version, resource: part(0), name: part(1), is_resource: true, ..route.attributes };
    if route.attributes.verb != "proxy" {
        route.attributes.subresource = part(2);
    }
    route.rest = rest_of(path, parts);
    collection(&mut route.attributes, query);
    Ok(route)
}

fn verb_of(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// A request without a name is about the collection.
fn collection(attributes: &mut Attributes, query: &Query) {
    attributes.verb = match (attributes.verb.as_str(), attributes.name.is_empty()) {
        ("get", true) if query.flag("watch") == Some(true) => "watch".into(),
        ("get", true) => "list".into(),
        ("delete", true) => "deletecollection".into(),
        _ => std::mem::take(&mut attributes.verb),
    };
    if matches!(attributes.verb.as_str(), "list" | "watch" | "deletecollection") {
        attributes.label_selector = query.text("labelSelector").into();
        attributes.field_selector = query.text("fieldSelector").into();
        if attributes.name.is_empty() {
            attributes.name = exact_name(&attributes.field_selector).unwrap_or_default();
        }
    }
}

/// `metadata.name=x` in a field selector stands for the name, so that a role for one name allows it.
fn exact_name(selector: &str) -> Option<String> {
    let name = selector.split(',').find_map(|term| term.strip_prefix("metadata.name="))?.trim_start_matches('=');
    let plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%']);
    plain.then(|| name.to_string())
}

/// The undecoded path behind the third of `parts`. Empty segments and a closing slash matter there.
fn rest_of(path: &str, parts: &[&str]) -> String {
    let Some(third) = parts.get(2) else { return String::new() };
    let at = third.as_ptr() as usize + third.len() - path.as_ptr() as usize;
    path[at..].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, url: &str, expect: &str) {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let route = route(&method, path, &Query::parse(query)).unwrap();
        let a = &route.attributes;
        let shown = match a.is_resource {
            false => format!("{} {}", a.verb, a.path),
            true => [a.verb.as_str(), &a.group, &a.version, &a.namespace, &a.resource, &a.name, &a.subresource, &route.rest].join(" "),
        };
        assert_eq!(shown.trim_end(), expect, "{url}");
    }

    #[test]
    fn paths_mean_what_they_mean_in_the_original() {
        check(Method::GET, "/healthz", "get /healthz");
        check(Method::GET, "/api/v1", "get /api/v1");
        check(Method::GET, "/apis/apps/v1", "get /apis/apps/v1");
        check(Method::GET, "/api/v1/pods", "list  v1  pods");
        check(Method::GET, "/api/v1/pods?watch=1", "watch  v1  pods");
        check(Method::GET, "/api/v1/watch/pods", "watch  v1  pods");
        check(Method::GET, "/api/v1/namespaces/x", "get  v1 x namespaces x");
        check(Method::PUT, "/api/v1/namespaces/x/finalize", "update  v1 x namespaces x finalize");
        check(Method::POST, "/apis/apps/v1/namespaces/x/deployments", "create apps v1 x deployments");
        check(Method::DELETE, "/apis/apps/v1/namespaces/x/deployments", "deletecollection apps v1 x deployments");
        check(Method::GET, "/api/v1/pods?fieldSelector=metadata.name%3Dweb", "list  v1  pods web");
        check(Method::GET, "/api/v1/namespaces/x/pods/web/proxy/a//b/", "get  v1 x pods web proxy /a//b/");
        check(Method::GET, "/api/v1/namespaces/x/services/https:web:443/proxy", "get  v1 x services https:web:443 proxy");
    }
}
