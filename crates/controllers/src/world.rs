//! A cluster in memory for tests: controllers plan from its caches, and it applies their steps as the API server would. It
//! shows that controllers settle (a plan carried out leaves nothing to plan), alone and together.
use crate::driver::{Caches, Controller, Failure, Moment, Noticed, Plan, Source, Step, Target, What};
use crate::settings::Settings;
use client::Patch;
use jiff::Timestamp;
use machinery::meta::Key;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// More plans than this mean that controllers work against each other.
const MAX_PLANS: usize = 20_000;

pub struct World {
    pub caches: Caches,
    pub now: Timestamp,
    pub settings: Settings,
    /// Refuses steps with a message.
    pub refuse: Option<fn(&Step) -> Option<String>>,
    /// Pods stay with a deletion timestamp until `finish_deletions`.
    pub graceful: bool,
    writes_left: Option<usize>,
    controllers: Vec<(&'static Controller, Vec<Box<dyn Source>>)>,
    queue: BTreeSet<(usize, Key)>,
    failed: BTreeSet<(usize, Key)>,
    timers: BTreeMap<(usize, Key), Timestamp>,
    noticed: BTreeMap<(&'static str, Key), Noticed>,
    version: u64,
    log: Vec<String>,
}

impl World {
    pub fn new(controllers: &[&'static Controller]) -> World {
        let controllers: Vec<_> = controllers.iter().map(|controller| (*controller, (controller.reads)())).collect();
        let mut caches = Caches::default();
        for source in controllers.iter().flat_map(|(_, sources)| sources) {
            source.open(&mut caches, None);
        }
        World {
            caches,
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            settings: Settings::default(),
            refuse: None,
            writes_left: None,
            graceful: false,
            controllers,
            queue: BTreeSet::new(),
            failed: BTreeSet::new(),
            timers: BTreeMap::new(),
            noticed: BTreeMap::new(),
            version: 100,
            log: Vec::new(),
        }
    }

    /// Puts an object in as it is (with a uid, a version and a time where they are missing).
    pub fn put(&mut self, mut object: Value) {
        let what = self.what(&object);
        let old = self.caches.any(&what).and_then(|cache| cache.value(&key(&object)));
        let meta = &mut object["metadata"];
        if meta["uid"].is_null() {
            meta["uid"] = old
                .as_ref()
                .map_or_else(|| format!("uid-{}", meta["name"].as_str().unwrap_or_default()).into(), |old| old["metadata"]["uid"].clone());
        }
        if meta["creationTimestamp"].is_null() {
            meta["creationTimestamp"] =
                old.as_ref().map_or_else(|| json!(crate::objects::time(self.now)), |old| old["metadata"]["creationTimestamp"].clone());
        }
        if let (Some(old), true) = (&old, object["status"].is_null()) {
            object["status"] = old["status"].clone();
        }
        self.store(&what, object);
    }

    /// Changes an object that is there.
    pub fn change(&mut self, api_version: &str, kind: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut object = self.get(api_version, kind, namespace, name);
        change(&mut object);
        let what = self.what(&object);
        self.store(&what, object);
    }

    pub fn remove(&mut self, api_version: &str, kind: &str, namespace: &str, name: &str) {
        let object = self.get(api_version, kind, namespace, name);
        let what = self.what(&object);
        self.take_out(&what, object);
    }

    pub fn get(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Value {
        let what = self.what(&json!({"apiVersion": api_version, "kind": kind}));
        self.caches.any(&what).and_then(|cache| cache.value(&Key::new(namespace, name))).unwrap_or(Value::Null)
    }

    pub fn all(&self, api_version: &str, kind: &str) -> Vec<Value> {
        let what = self.what(&json!({"apiVersion": api_version, "kind": kind}));
        let cache = self.caches.any(&what).expect("a kind that is read");
        cache.keys().iter().filter_map(|key| cache.value(key)).collect()
    }

    /// Lets the controllers work until there is nothing to do now.
    pub fn settle(&mut self) {
        let mut plans = 0;
        while let Some((index, key)) = self.queue.pop_first() {
            plans += 1;
            assert!(
                plans < MAX_PLANS,
                "{} does not settle at {key}: {:?}",
                self.controllers[index].0.name,
                self.log.iter().rev().take(10).collect::<Vec<_>>()
            );
            self.work(index, key);
        }
    }

    /// The controllers stop for good after so many more writes, until `restart`.
    pub fn crash_after(&mut self, writes: usize) {
        self.writes_left = Some(writes);
    }

    /// Controllers start anew: they remember nothing, and are told of everything that is there.
    pub fn restart(&mut self) {
        self.writes_left = None;
        self.queue.clear();
        self.timers.clear();
        self.noticed.clear();
        let all: Vec<(What, Vec<Value>)> = self
            .caches
            .all()
            .map(|(what, cache)| (what.clone(), cache.keys().iter().filter_map(|key| cache.value(key)).collect()))
            .collect();
        for (what, objects) in all {
            for mut object in objects {
                self.version += 1;
                object["metadata"]["resourceVersion"] = self.version.to_string().into();
                let delta = self.caches.any(&what).and_then(|cache| cache.put(object));
                delta.iter().for_each(|delta| self.wake(&what, &**delta));
            }
        }
    }

    /// Puts failed keys back into the queue and settles.
    pub fn retry(&mut self) {
        self.queue.append(&mut self.failed);
        self.settle();
    }

    /// Lets time pass; timers that are due wake their keys.
    pub fn advance(&mut self, seconds: i64) {
        let until = self.now + crate::objects::seconds(seconds);
        self.settle();
        while let Some((at, entry)) = self.timers.iter().map(|(entry, at)| (*at, entry.clone())).min().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            self.timers.remove(&entry);
            self.queue.insert(entry);
            self.settle();
        }
        self.now = until;
    }

    /// Plans every key that any object gives once more: nothing may be written.
    pub fn fixpoint(&mut self) {
        self.settle();
        let keys: BTreeSet<Key> = self.caches.all().flat_map(|(_, cache)| cache.keys()).collect();
        let controllers: Vec<&'static Controller> = self.controllers.iter().map(|(controller, _)| *controller).collect();
        for controller in controllers {
            for key in &keys {
                let plan = self.plan(controller, key, None);
                assert_eq!(plan.writes(), 0, "{} plans again at {key}: {:?}", controller.name, plan.steps);
            }
        }
    }

    /// What was done since the last call.
    pub fn told(&mut self) -> String {
        std::mem::take(&mut self.log).join(", ")
    }

    /// Takes away pods that wait for their grace.
    pub fn finish_deletions(&mut self) {
        for pod in self.all("v1", "Pod") {
            if !pod["metadata"]["deletionTimestamp"].is_null() && no_finalizers(&pod) {
                let what = self.what(&pod);
                self.take_out(&what, pod);
            }
        }
    }

    fn work(&mut self, index: usize, key: Key) {
        let controller = self.controllers[index].0;
        let plan = self.plan(controller, &key, None);
        match plan.wake_at {
            Some(at) if at <= self.now => {
                self.queue.insert((index, key.clone()));
            }
            Some(at) => {
                self.timers.insert((index, key.clone()), at);
            }
            None => {
                self.timers.remove(&(index, key.clone()));
            }
        }
        let failure = plan.steps.into_iter().find_map(|step| self.apply(step).err());
        if let Some(failure) = failure {
            self.failed.insert((index, key.clone()));
            let mut plan = self.plan(controller, &key, Some(&failure));
            plan.steps.retain(Step::is_report);
            plan.steps.into_iter().for_each(|step| drop(self.apply(step)));
        }
    }

    fn plan(&mut self, controller: &Controller, key: &Key, failed: Option<&Failure>) -> Plan {
        let entry = (controller.name, key.clone());
        let noticed = self.noticed.remove(&entry).unwrap_or_default();
        let moment = Moment { now: self.now, started: self.now, failed, settings: &self.settings, noticed: &noticed };
        let plan = (controller.plan)(&self.caches, key, &moment);
        self.noticed.insert(entry, noticed.next());
        plan
    }

    fn apply(&mut self, step: Step) -> Result<(), Failure> {
        if !matches!(step, Step::Tell(_)) {
            match &mut self.writes_left {
                Some(0) => return Err(Failure { verb: step.verb(), message: "the process is gone".into() }),
                Some(left) => *left -= 1,
                None => {}
            }
        }
        let refused = self.refuse.and_then(|refuse| refuse(&step));
        if let Some(message) = refused {
            return Err(Failure { verb: step.verb(), message });
        }
        let verb = step.verb();
        self.log.push(format!("{step:?}"));
        let result = match step {
            Step::Create { what, object, .. } => self.create(&what, object.to_value()),
            Step::Update { what, object, subresource, .. } => self.update(&what, object.to_value(), subresource),
            Step::Patch { target, patch: Patch::Merge(patch), .. } => self.patch(&target, &patch),
            Step::Patch { target, patch: Patch::Strategic(patch), .. } => {
                let patch = self.without_finalizers(&target, patch);
                self.patch(&target, &patch)
            }
            Step::Patch { target, .. } => Err(format!("the world cannot apply this patch to {}", target.key)),
            Step::Delete { target, .. } => self.delete(&target),
            Step::Call { .. } | Step::Tell(_) => Ok(()),
        };
        result.map_err(|message| Failure { verb, message })
    }

    fn create(&mut self, what: &What, mut object: Value) -> Result<(), String> {
        self.version += 1;
        let meta = &mut object["metadata"];
        if meta["name"].is_null() {
            meta["name"] = format!("{}{}", meta["generateName"].as_str().unwrap_or_default(), self.version).into();
        }
        meta["uid"] = format!("uid-{}", self.version).into();
        meta["generation"] = 1.into();
        meta["creationTimestamp"] = json!(crate::objects::time(self.now));
        if self.caches.any(what).and_then(|cache| cache.identity(&key(&object))).is_some() {
            return Err(format!("{} \"{}\" already exists", what.plural, key(&object).name));
        }
        self.store(what, object);
        Ok(())
    }

    fn update(&mut self, what: &What, mut new: Value, subresource: &str) -> Result<(), String> {
        let Some(mut old) = self.caches.any(what).and_then(|cache| cache.value(&key(&new))) else { return Ok(()) };
        if old["metadata"]["resourceVersion"] != new["metadata"]["resourceVersion"] {
            return Err("the object has been modified".into());
        }
        if subresource == "status" {
            old["status"] = new["status"].take();
            new = old;
        } else {
            if old["spec"] != new["spec"] {
                new["metadata"]["generation"] = (old["metadata"]["generation"].as_i64().unwrap_or(0) + 1).into();
            }
            if what.kind != "Node" && what.kind != "CertificateSigningRequest" {
                new["status"] = old["status"].take();
            }
        }
        self.store(what, new);
        Ok(())
    }

    fn patch(&mut self, target: &Target, patch: &Value) -> Result<(), String> {
        let Some(mut object) = self.caches.any(&target.what).and_then(|cache| cache.value(&target.key)) else { return Ok(()) };
        let version = &patch["metadata"]["resourceVersion"];
        if !version.is_null() && *version != object["metadata"]["resourceVersion"] {
            return Err("the object has been modified".into());
        }
        merge(&mut object, patch);
        self.store(&target.what, object);
        Ok(())
    }

    /// The one directive of strategic patches that controllers use, as a plain merge.
    fn without_finalizers(&self, target: &Target, mut patch: Value) -> Value {
        let meta = patch["metadata"].as_object_mut().expect("a patch of metadata");
        let gone = meta.remove("$deleteFromPrimitiveList/finalizers").unwrap_or_default();
        let object = self.caches.any(&target.what).and_then(|cache| cache.value(&target.key)).unwrap_or_default();
        let all = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        let rest: Vec<Value> = all.into_iter().filter(|own| !gone.as_array().is_some_and(|gone| gone.contains(own))).collect();
        meta.insert("finalizers".into(), rest.into());
        patch
    }

    fn delete(&mut self, target: &Target) -> Result<(), String> {
        let Some(mut object) = self.caches.any(&target.what).and_then(|cache| cache.value(&target.key)) else { return Ok(()) };
        let waits = !no_finalizers(&object) || (self.graceful && target.what.kind == "Pod");
        if waits {
            if object["metadata"]["deletionTimestamp"].is_null() {
                object["metadata"]["deletionTimestamp"] = json!(crate::objects::time(self.now));
                self.store(&target.what, object);
            }
        } else {
            self.take_out(&target.what, object);
        }
        Ok(())
    }

    /// Whether finalizers are what an object that is being deleted waited for; pods may wait for their grace, namespaces for more.
    fn held_by_finalizers(&self, what: &What, key: &Key) -> bool {
        let old = self.caches.any(what).and_then(|cache| cache.value(key));
        let held = old.is_some_and(|old| !no_finalizers(&old));
        match what.kind.as_ref() {
            "Pod" => held && !self.graceful,
            "Namespace" => false,
            _ => held,
        }
    }

    fn store(&mut self, what: &What, mut object: Value) {
        let deleting = !object["metadata"]["deletionTimestamp"].is_null();
        if deleting && no_finalizers(&object) && self.held_by_finalizers(what, &key(&object)) {
            return self.take_out(what, object);
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        // a kind that nobody reads is written and forgotten
        let Some(cache) = self.caches.any(what) else { return };
        if let Some(delta) = cache.put(object) {
            self.wake(what, &*delta);
        }
    }

    fn take_out(&mut self, what: &What, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let Some(cache) = self.caches.any(what) else { return };
        if let Some(delta) = cache.take_out(object) {
            self.wake(what, &*delta);
        }
    }

    fn wake(&mut self, what: &What, delta: &dyn std::any::Any) {
        for (index, (_, sources)) in self.controllers.iter().enumerate() {
            for source in sources.iter().filter(|source| source.what() == *what) {
                self.queue.extend(source.wake(&self.caches, delta).into_iter().map(|key| (index, key)));
            }
        }
    }

    fn what(&self, object: &Value) -> What {
        let (version, kind) = (object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default());
        let found = self.caches.all().map(|(what, _)| what).find(|what| what.kind == kind && what.api_version() == version);
        found.unwrap_or_else(|| panic!("no controller here reads {version} {kind}")).clone()
    }
}

fn key(object: &Value) -> Key {
    let part = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_string();
    Key::new(part("namespace"), part("name"))
}

fn no_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().map(|map| map.remove(key));
        } else {
            merge(&mut target[key], value);
        }
    }
}
