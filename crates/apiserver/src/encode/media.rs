//! Which form an answer takes: media type, transformation (`as=Table`), gzip and pretty printing, from the request's headers.
//! And which form a request's body has.
use http::{HeaderMap, header};
use machinery::status::{Details, Reason, Status};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    Json,
    Yaml,
    Protobuf,
}

const ACCEPTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
const ACCEPTED_STREAMS: &str = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
/// An `Accept` header may have so many clauses; the rest is not read.
const MAX_CLAUSES: usize = 64;

impl Media {
    pub fn content_type(self) -> &'static str {
        match self {
            Media::Json => "application/json",
            Media::Yaml => "application/yaml",
            Media::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }

    pub fn watch_content_type(self) -> &'static str {
        match self {
            Media::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
            _ => "application/json",
        }
    }

    /// The form of a request's body. No header means JSON.
    pub fn of_body(headers: &HeaderMap) -> Result<Media, Status> {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Media::Json) };
        let text = value.to_str().unwrap_or("?");
        match text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "application/json" => Ok(Media::Json),
            "application/yaml" => Ok(Media::Yaml),
            "application/vnd.kubernetes.protobuf" => Ok(Media::Protobuf),
            _ => Err(unsupported(ACCEPTED)),
        }
    }
}

/// 415 with the media types that would do.
pub fn unsupported(accepted: &str) -> Status {
    let message = format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
    Status::new(Reason::UnsupportedMediaType, message)
}

fn not_acceptable(accepted: &str) -> Status {
    Status::new(Reason::NotAcceptable, format!("only the following media types are accepted: {accepted}"))
}

/// What becomes of an object on its way out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    #[default]
    Own,
    /// A Table of this version of `meta.k8s.io`.
    Table(String),
    Partial(String),
    PartialList(String),
    /// Aggregated discovery of this version of `apidiscovery.k8s.io`.
    Discovery(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    pub media: Media,
    pub shape: Shape,
    pub pretty: bool,
    pub gzip: bool,
}

/// What an endpoint can answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Objects of a kind, as themselves, as tables or as metadata.
    Objects,
    /// A stream of events: no YAML.
    Events,
    /// Only itself (Status, discovery documents).
    Plain,
    /// Discovery, legacy and aggregated.
    Discovery,
}

#[derive(Debug)]
struct Clause<'a> {
    media: &'a str,
    params: Vec<(&'a str, &'a str)>,
    /// In thousandths.
    quality: u32,
}

impl Accept {
    pub fn negotiate(headers: &HeaderMap, pretty: Option<bool>, offer: Offer) -> Result<Accept, Status> {
        let text = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let gzip = headers.get_all(header::ACCEPT_ENCODING).iter().any(|value| value.to_str().is_ok_and(takes_gzip));
        let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let human = ["curl", "Wget", "Mozilla/5.0"].iter().any(|prefix| agent.starts_with(prefix));
        let accept = |media, shape, asked: bool| Accept { media, shape, pretty: pretty.unwrap_or(human) || asked, gzip };
        if text.trim().is_empty() {
            return Ok(accept(Media::Json, Shape::Own, false));
        }
        let clauses = clauses(text);
        for clause in &clauses {
            if let Some((media, shape)) = clause.suits(offer) {
                return Ok(accept(media, shape, clause.param("pretty") == "1"));
            }
        }
        if matches!(offer, Offer::Objects | Offer::Events) && !clauses.iter().any(|clause| clause.media(Offer::Objects).is_some()) {
            let message = format!("406: Not Acceptable\n\nAvailable representations: {ACCEPTED}");
            return Err(Status::new(Reason::NotAcceptable, message).with(Details::default()));
        }
        Err(not_acceptable(if offer == Offer::Events { ACCEPTED_STREAMS } else { ACCEPTED }))
    }

    /// For errors: whatever the client accepts, JSON if it accepts nothing of ours.
    pub fn plain(headers: &HeaderMap) -> Accept {
        let fallback = Accept { media: Media::Json, shape: Shape::Own, pretty: false, gzip: false };
        Accept::negotiate(headers, None, Offer::Plain).unwrap_or(fallback)
    }
}

fn takes_gzip(value: &str) -> bool {
    value.split(',').any(|part| part.split(';').next().unwrap_or_default().trim() == "gzip")
}

fn clauses(text: &str) -> Vec<Clause<'_>> {
    let mut all: Vec<Clause> = text.split(',').take(MAX_CLAUSES).map(Clause::parse).collect();
    all.sort_by_key(|clause| std::cmp::Reverse(clause.quality));
    all
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Clause<'a> {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let pair = |part: &'a str| part.split_once('=').map(|(key, value)| (key.trim(), value.trim().trim_matches('"')));
        let params: Vec<_> = parts.filter_map(pair).collect();
        let quality = params.iter().find(|(key, _)| *key == "q").and_then(|(_, q)| q.parse::<f32>().ok()).unwrap_or(1.0);
        Clause { media, params, quality: (quality.clamp(0.0, 1.0) * 1000.0) as u32 }
    }

    fn param(&self, key: &str) -> &'a str {
        self.params.iter().find(|(own, _)| *own == key).map_or("", |(_, value)| value)
    }

    fn media(&self, offer: Offer) -> Option<Media> {
        match self.media.to_ascii_lowercase().as_str() {
            "*/*" | "application/*" | "application/json" => Some(Media::Json),
            "application/yaml" if offer != Offer::Events => Some(Media::Yaml),
            "application/vnd.kubernetes.protobuf" => Some(Media::Protobuf),
            _ => None,
        }
    }

    fn suits(&self, offer: Offer) -> Option<(Media, Shape)> {
        let media = self.media(offer)?;
        if !matches!(self.param("stream"), "" | "watch") {
            return None;
        }
        let (group, version, kind) = (self.param("g"), self.param("v"), self.param("as"));
        if kind.is_empty() && group.is_empty() && version.is_empty() {
            return Some((media, Shape::Own));
        }
        let known = matches!((offer, group, version), (Offer::Discovery, "apidiscovery.k8s.io", "v2"))
            || matches!((offer, group, version), (Offer::Objects | Offer::Events, "meta.k8s.io", "v1" | "v1beta1"));
        let version = version.to_string();
        let shape = match kind {
            "Table" if media != Media::Protobuf => Shape::Table(version),
            "PartialObjectMetadata" => Shape::Partial(version),
            "PartialObjectMetadataList" => Shape::PartialList(version),
            "APIGroupDiscoveryList" => Shape::Discovery(version),
            _ => return None,
        };
        let fits = matches!(shape, Shape::Discovery(_)) == (offer == Offer::Discovery);
        (known && fits).then_some((media, shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, offer: Offer) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        match Accept::negotiate(&headers, None, offer) {
            Ok(accept) => format!("{:?} {:?}", accept.media, accept.shape),
            Err(status) => status.message,
        }
    }

    #[test]
    fn the_first_clause_that_suits_wins() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(check(kubectl, Offer::Objects), r#"Json Table("v1")"#);
        assert_eq!(check(kubectl, Offer::Plain), "Json Own");
        assert_eq!(check("application/vnd.kubernetes.protobuf,application/json", Offer::Objects), "Protobuf Own");
        assert_eq!(check("application/json;q=0.5, application/yaml", Offer::Objects), "Yaml Own");
        let discovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        assert_eq!(check(discovery, Offer::Discovery), r#"Json Discovery("v2")"#);
        assert_eq!(check("text/html", Offer::Plain), format!("only the following media types are accepted: {ACCEPTED}"));
    }
}
