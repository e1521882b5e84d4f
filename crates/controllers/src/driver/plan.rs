//! What a controller asks for: steps in the order in which they must happen, and the next moment at which time alone changes
//! the answer. Neighbouring creations (or deletions) of one resource do not depend on each other and go out together.
use client::Patch;
use client::events::{Severity, Told, reference};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use machinery::meta::Key;
use machinery::object::{AnyObject, Resource};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

#[derive(Debug, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub wake_at: Option<Timestamp>,
}

pub enum Step {
    /// Creates; a name may be left to the server by `generateName`.
    Create {
        what: What,
        object: Box<dyn AnyObject>,
        tell: Option<Outcome>,
    },
    /// Replaces the object or its subresource, if it still has the resourceVersion that was seen.
    Update {
        what: What,
        object: Box<dyn AnyObject>,
        subresource: &'static str,
        tell: Option<Outcome>,
    },
    Patch {
        target: Target,
        subresource: &'static str,
        patch: Patch,
        tell: Option<Outcome>,
    },
    /// Deletes, if it is still the object that was seen.
    Delete {
        target: Target,
        options: Deletion,
        tell: Option<Outcome>,
    },
    /// POSTs to a subresource.
    Call {
        target: Target,
        subresource: &'static str,
        body: Value,
    },
    Tell(Told),
}

/// A resource as its path names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct What {
    pub group: Cow<'static, str>,
    pub version: Cow<'static, str>,
    pub kind: Cow<'static, str>,
    pub plural: Cow<'static, str>,
}

impl What {
    pub fn of<T: k8s_openapi::Resource>() -> What {
        let [group, version, kind, plural] = [T::GROUP, T::VERSION, T::KIND, T::URL_PATH_SEGMENT].map(Cow::Borrowed);
        What { group, version, kind, plural }
    }

    /// `path(key, "status")`; empty parts are left out.
    pub fn path(&self, namespace: &str, name: &str, subresource: &str) -> String {
        let mut path = match self.group.as_ref() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        if !namespace.is_empty() {
            path += &format!("/namespaces/{namespace}");
        }
        for part in [&self.plural, name, subresource] {
            if !part.is_empty() {
                path += &format!("/{part}");
            }
        }
        path
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// One object, by name and, where it matters, by identity.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub what: What,
    pub key: Key,
    pub uid: Option<String>,
}

impl Target {
    pub fn of<T: Resource>(object: &T) -> Target {
        let meta = object.metadata();
        Target { what: What::of::<T>(), key: Key::of(meta), uid: meta.uid.clone() }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deletion {
    pub grace_seconds: Option<i64>,
    /// `Foreground`, `Background`, `Orphan`.
    pub propagation: Option<&'static str>,
    /// Only while it has this resourceVersion.
    pub version: Option<String>,
}

/// What the user is told when a step succeeded or failed; `{}` stands for the object's name or the error.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub about: ObjectReference,
    pub done: Option<(&'static str, String)>,
    pub failed: Option<(&'static str, String)>,
}

impl Outcome {
    pub fn new<T: Resource>(about: &T, done: (&'static str, &str), failed: (&'static str, &str)) -> Outcome {
        let own = |(reason, text): (&'static str, &str)| (!text.is_empty()).then(|| (reason, text.to_string()));
        Outcome { about: reference(about), done: own(done), failed: own(failed) }
    }
}

/// Why the last plan for a key could not be carried out; the next status tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub verb: Verb,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Create,
    Update,
    Delete,
}

impl Plan {
    pub fn create<T: Resource>(&mut self, object: T) {
        self.create_telling(object, None);
    }

    pub fn create_telling<T: Resource>(&mut self, object: T, tell: Option<Outcome>) {
        self.steps.push(Step::Create { what: What::of::<T>(), object: Box::new(object), tell });
    }

    /// Replaces `old` by `new` unless they are equal.
    pub fn update<T: Resource + PartialEq>(&mut self, old: &T, new: T) {
        self.replace(old, new, "", None);
    }

    /// Writes the status of `new` unless it is that of `old`; nothing but the status may differ.
    pub fn status<T: Resource + PartialEq>(&mut self, old: &T, new: T) {
        self.replace(old, new, "status", None);
    }

    pub fn replace<T: Resource + PartialEq>(&mut self, old: &T, new: T, subresource: &'static str, tell: Option<Outcome>) {
        if *old != new {
            self.steps.push(Step::Update { what: What::of::<T>(), object: Box::new(new), subresource, tell });
        }
    }

    pub fn merge<T: Resource>(&mut self, object: &T, subresource: &'static str, change: Value) {
        self.steps.push(Step::Patch { target: Target::of(object), subresource, patch: Patch::Merge(change), tell: None });
    }

    pub fn delete<T: Resource>(&mut self, object: &T) {
        self.delete_telling(object, Deletion::default(), None);
    }

    pub fn delete_telling<T: Resource>(&mut self, object: &T, options: Deletion, tell: Option<Outcome>) {
        self.steps.push(Step::Delete { target: Target::of(object), options, tell });
    }

    pub fn normal<T: Resource>(&mut self, about: &T, reason: &str, message: impl Into<String>) {
        self.tell(about, Severity::Normal, reason, message);
    }

    pub fn warning<T: Resource>(&mut self, about: &T, reason: &str, message: impl Into<String>) {
        self.tell(about, Severity::Warning, reason, message);
    }

    fn tell<T: Resource>(&mut self, about: &T, severity: Severity, reason: &str, message: impl Into<String>) {
        self.steps.push(Step::Tell(Told { about: reference(about), severity, reason: reason.into(), message: message.into() }));
    }

    /// Plans again at `at` at the latest.
    pub fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    pub fn wake_if(&mut self, at: Option<Timestamp>) {
        if let Some(at) = at {
            self.wake(at);
        }
    }

    /// Steps that write something.
    pub fn writes(&self) -> usize {
        self.steps.iter().filter(|step| !matches!(step, Step::Tell(_))).count()
    }
}

impl Step {
    /// Whether this only tells what is: such steps go out even when others failed.
    pub fn is_report(&self) -> bool {
        match self {
            Step::Update { subresource, .. } | Step::Patch { subresource, .. } => *subresource == "status",
            Step::Tell(_) => true,
            _ => false,
        }
    }

    /// Neighbours of one lane that are about different objects go out at once.
    pub fn lane(&self) -> Option<(Verb, &What, &'static str)> {
        match self {
            Step::Create { what, .. } => Some((Verb::Create, what, "")),
            Step::Delete { target, .. } => Some((Verb::Delete, &target.what, "")),
            Step::Update { what, subresource, .. } => Some((Verb::Update, what, subresource)),
            Step::Patch { target, subresource, .. } => Some((Verb::Update, &target.what, subresource)),
            Step::Call { .. } | Step::Tell(_) => None,
        }
    }

    /// The object that is changed; `None` for one to be created.
    pub fn key(&self) -> Option<Key> {
        match self {
            Step::Update { object, .. } => Some(Key::of(object.meta())),
            Step::Patch { target, .. } | Step::Delete { target, .. } => Some(target.key.clone()),
            _ => None,
        }
    }

    pub fn verb(&self) -> Verb {
        match self {
            Step::Create { .. } => Verb::Create,
            Step::Delete { .. } => Verb::Delete,
            _ => Verb::Update,
        }
    }

    pub fn outcome(&self) -> Option<&Outcome> {
        match self {
            Step::Create { tell, .. } | Step::Update { tell, .. } | Step::Patch { tell, .. } | Step::Delete { tell, .. } => tell.as_ref(),
            Step::Call { .. } | Step::Tell(_) => None,
        }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let slash = |subresource: &str| if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
        match self {
            Step::Create { what, object, .. } => {
                let name =
                    object.meta().name.clone().unwrap_or_else(|| format!("{}*", object.meta().generate_name.as_deref().unwrap_or("")));
                write!(f, "create {} {name}", what.plural)
            }
            Step::Update { what, object, subresource, .. } => {
                write!(f, "update {}{} {}", what.plural, slash(subresource), object.meta().name.as_deref().unwrap_or(""))
            }
            Step::Patch { target, subresource, patch, .. } => {
                let (Patch::Json(value) | Patch::Merge(value) | Patch::Strategic(value) | Patch::Apply { value, .. }) = patch;
                write!(f, "patch {}{} {} {value}", target.what.plural, slash(subresource), target.key.name)
            }
            Step::Delete { target, .. } => write!(f, "delete {} {}", target.what.plural, target.key.name),
            Step::Call { target, subresource, .. } => write!(f, "call {}/{subresource} {}", target.what.plural, target.key.name),
            Step::Tell(told) => write!(f, "tell {} {}", told.reason, told.message),
        }
    }
}
