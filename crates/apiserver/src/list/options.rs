//! What a list or a watch asks for, read from the query and checked as the original checks it.
use super::filter::Filter;
use super::token::{self, Token};
use crate::request::call::Call;
use crate::server::State;
use crate::verbs::storage;
use machinery::errors::Errors;
use machinery::status::{Reason, Status};
use store::{At, Revision};

/// A page has at most so many objects; a larger `limit` is cut to it.
const MAX_PAGE: i64 = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    Unset,
    Exact,
    NotOlderThan,
}

#[derive(Debug)]
pub struct ListOptions {
    pub filter: Filter,
    /// 0: no limit.
    pub limit: usize,
    pub token: Option<Token>,
    /// `None`: not given. 0: any state will do.
    pub revision: Option<Revision>,
    pub matching: Match,
    pub watch: bool,
    pub bookmarks: bool,
    pub send_initial: Option<bool>,
    pub timeout_seconds: Option<u64>,
}

impl ListOptions {
    pub fn parse(call: &Call) -> Result<ListOptions, Status> {
        let query = &call.query;
        let watch = call.attributes.verb == "watch";
        let limit = query.number("limit")?.unwrap_or(0).clamp(0, MAX_PAGE) as usize;
        let timeout_seconds = query.number("timeoutSeconds")?.map(|seconds| seconds.max(0) as u64);
        let bookmarks = query.flag("allowWatchBookmarks").unwrap_or(false);
        let send_initial = query.flag("sendInitialEvents");
        let (revision, matching, token) = (query.text("resourceVersion"), query.text("resourceVersionMatch"), query.text("continue"));
        check(watch, revision, matching, token, send_initial)?;
        let filter = Filter::parse(call)?;
        let version = parse_revision(revision).map_err(|status| match watch {
            true => status,
            false => Status::bad_request(format!("invalid resource version: {}", status.message)),
        })?;
        let prefix = call.served.kind.names().prefix(call.namespace());
        let token = if token.is_empty() || watch { None } else { Some(token::decode(token, &prefix)?) };
        if token.is_some() && version.is_some_and(|version| version != 0) {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
        let matching = match matching {
            "Exact" => Match::Exact,
            "NotOlderThan" => Match::NotOlderThan,
            _ => Match::Unset,
        };
        Ok(ListOptions { filter, limit, token, revision: version, matching, watch, bookmarks, send_initial, timeout_seconds })
    }

    /// Which state the list shows.
    pub fn at(&self) -> At {
        match (&self.token, self.revision, self.matching) {
            (Some(Token { revision: Some(revision), .. }), ..) => At::Exactly(*revision),
            (Some(_), ..) | (None, None | Some(0), _) => At::Latest,
            (None, Some(revision), Match::Exact) => At::Exactly(revision),
            (None, Some(revision), Match::Unset) if self.limit > 0 => At::Exactly(revision),
            (None, Some(revision), _) => At::NotOlderThan(revision),
        }
    }
}

/// The combinations that make no sense.
fn check(watch: bool, revision: &str, matching: &str, token: &str, send_initial: Option<bool>) -> Result<(), Status> {
    let mut errors = Errors::default();
    let field = "resourceVersionMatch";
    if watch {
        if send_initial.is_some() && matching != "NotOlderThan" {
            errors.forbidden(field, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
        }
        if !matching.is_empty() {
            if send_initial.is_none() {
                errors.forbidden(field, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
            }
            if matching != "NotOlderThan" {
                errors.not_supported(field, matching, &["NotOlderThan"]);
            }
            if !token.is_empty() {
                errors.forbidden(field, "resourceVersionMatch is forbidden when continue is provided");
            }
        }
        return errors.into_result("meta.k8s.io", "ListOptions", "");
    }
    if !matching.is_empty() {
        if revision.is_empty() {
            errors.forbidden(field, "resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if !token.is_empty() {
            errors.forbidden(field, "resourceVersionMatch is forbidden when continue is provided");
        }
        if !matches!(matching, "Exact" | "NotOlderThan") {
            errors.not_supported(field, matching, &["Exact", "NotOlderThan", ""]);
        }
        if matching == "Exact" && revision == "0" {
            errors.forbidden(field, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
        }
    }
    if send_initial.is_some() {
        errors.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list");
    }
    errors.into_result("meta.k8s.io", "ListOptions", "")
}

pub fn parse_revision(text: &str) -> Result<Option<Revision>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let why = format!("resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax");
        Status::new(Reason::Unknown, why)
    })
}

/// For reads of one object: a version that is not reached yet is refused.
pub fn check_revision(state: &State, text: &str) -> Result<(), Status> {
    let newest = state.store().revision();
    match parse_revision(text)? {
        Some(asked) if asked > newest => Err(storage::too_large(asked, newest)),
        _ => Ok(()),
    }
}
