//! A pod's life told as a text: steps are carried out on a pretended node where everything works at once unless told otherwise.
use crate::pod::effect::{Effect, Outcome, Waiting};
use crate::pod::observed::{Observed, Sandbox, Seen, State};
use crate::pod::probe::ProbeKind;
use crate::pod::record::{PodRecord, Source};
use crate::pod::step::step;
use crate::pod::view::PodView;
use crate::status::{NodeFacts, status};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

pub struct Story {
    pub record: PodRecord,
    pub observed: Observed,
    pub now: Timestamp,
    pub text: String,
    /// Starts that fail, by container.
    pub failing: BTreeMap<String, Waiting>,
    /// Probes that fail.
    pub unwell: BTreeSet<(String, ProbeKind)>,
    made: u32,
}

pub fn story(spec: serde_json::Value) -> Story {
    let now = Timestamp::from_second(1000).unwrap();
    let record = PodRecord::new(Arc::new(super::pod(spec)), Source::Api, now);
    let (failing, unwell) = (BTreeMap::new(), BTreeSet::new());
    Story { record, observed: Observed::default(), now, text: String::new(), failing, unwell, made: 0 }
}

impl Story {
    /// Steps until nothing is to be done, then tells the status.
    pub fn settle(mut self) -> Story {
        for _ in 0..100 {
            let (record, effects) = step(&self.record, &self.observed, self.now);
            self.record = record;
            if effects.is_empty() {
                self.tell();
                return self;
            }
            for effect in effects {
                self.apply(effect);
            }
        }
        panic!("the pod does not come to rest:\n{}", self.text);
    }

    fn tell(&mut self) {
        let facts = NodeFacts { ips: vec!["10.0.0.1".into()], runtime: "test".into() };
        let status = status(&self.record, &self.observed, &facts, self.now);
        let state = |one: &ContainerStatus| {
            let state = one.state.clone().unwrap_or_default();
            let text = |text: Option<String>| text.unwrap_or_default();
            let shown = match (state.running, state.terminated, state.waiting) {
                (Some(_), _, _) => "running".to_string(),
                (_, Some(ended), _) => format!("ended {} {}", ended.exit_code, text(ended.reason)),
                (_, _, Some(waiting)) => text(waiting.reason),
                _ => "?".into(),
            };
            let ready = if one.ready { " ready" } else { "" };
            let restarts = if one.restart_count > 0 { format!(" ×{}", one.restart_count) } else { String::new() };
            format!("{}: {shown}{ready}{restarts}", one.name)
        };
        let all = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
        let states: Vec<String> = all.map(state).collect();
        let reason = status.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let _ = writeln!(self.text, "= {}{reason} [{}]", status.phase.as_deref().unwrap_or_default(), states.join(", "));
        self.record.status = Arc::new(status);
    }

    fn apply(&mut self, effect: Effect) {
        let line = match &effect {
            Effect::Prepare => "prepare".into(),
            Effect::CreateSandbox { attempt } => format!("sandbox {attempt}"),
            Effect::Start(start) => format!("start {}", start.name),
            Effect::Kill(kills) => {
                let all: Vec<String> =
                    kills.iter().map(|kill| format!("{} in {}s: {}", kill.name, kill.grace_seconds, kill.message)).collect();
                format!("kill {}", all.join("; "))
            }
            Effect::KillPod { grace_seconds, kills, sandboxes } => {
                let names: Vec<&str> = kills.iter().map(|kill| kill.name.as_str()).collect();
                format!("kill pod in {grace_seconds}s: {}, {} sandbox", names.join(" "), sandboxes.len())
            }
            Effect::Remove { containers, sandboxes } => format!("remove {} containers, {} sandboxes", containers.len(), sandboxes.len()),
            Effect::Resize { name, .. } => format!("resize {name}"),
            Effect::Probe { name, kind, .. } => format!("{} probe {name}", kind.shown().to_lowercase()),
            Effect::Event { reason, message, .. } => format!("event {reason}: {message}"),
            Effect::Abort => "abort".into(),
            Effect::CleanUp => "clean up".into(),
            Effect::DeleteObject => "delete object".into(),
            Effect::Erase => "erase".into(),
        };
        let _ = writeln!(self.text, "{:>4}s {line}", self.now.as_second() - 1000);
        let outcome = self.carry_out(effect);
        if let Some(outcome) = outcome {
            self.record.absorb(outcome, self.now);
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Outcome> {
        Some(match effect {
            Effect::Prepare => Outcome::Prepared(Ok(())),
            Effect::CreateSandbox { attempt } => {
                self.made += 1;
                let id = format!("s{}", self.made);
                let ips = vec!["10.1.0.2".to_string()];
                let sandbox = Sandbox { id: id.clone(), attempt, ready: true, created_at: self.now, ips, ..Sandbox::default() };
                self.observed.sandboxes.insert(0, sandbox);
                Outcome::SandboxCreated(Ok(id))
            }
            Effect::Start(start) => {
                let image = self.record.pod.container(&start.name).and_then(|(_, one)| one.image).unwrap_or_default();
                let result = match self.failing.get(&start.name) {
                    Some(waiting) => Err(waiting.clone()),
                    None => Ok(self.run(&start.name, &start.sandbox_id, start.restart_count.unwrap_or(0))),
                };
                Outcome::Started { name: start.name, image, result }
            }
            Effect::Kill(kills) => {
                for kill in kills {
                    self.end(&kill.id, 137);
                }
                return None;
            }
            Effect::KillPod { kills, .. } => {
                for kill in kills {
                    self.end(&kill.id, 0);
                }
                self.observed.sandboxes.iter_mut().for_each(|sandbox| sandbox.ready = false);
                Outcome::PodKilled(Ok(()))
            }
            Effect::Remove { containers, sandboxes } => {
                self.observed.containers.retain(|seen| !containers.contains(&seen.id));
                self.observed.sandboxes.retain(|sandbox| !sandboxes.contains(&sandbox.id));
                Outcome::Removed(Ok(()))
            }
            Effect::Probe { id, name, kind } => {
                let success = Some(!self.unwell.contains(&(name, kind)));
                Outcome::Probed { id, kind, success }
            }
            Effect::CleanUp => Outcome::CleanedUp(Ok(())),
            Effect::DeleteObject => {
                self.record.gone = true;
                Outcome::ObjectDeleted(Ok(()))
            }
            Effect::Erase => Outcome::Erased(Ok(())),
            Effect::Resize { .. } | Effect::Event { .. } | Effect::Abort => return None,
        })
    }

    fn run(&mut self, name: &str, sandbox_id: &str, restart_count: u32) -> String {
        self.made += 1;
        let id = format!("c{}", self.made);
        let seen = Seen {
            id: id.clone(),
            name: name.into(),
            sandbox_id: sandbox_id.into(),
            restart_count,
            state: State::Running,
            created_at: self.now,
            started_at: Some(self.now),
            ..Seen::default()
        };
        self.observed.containers.insert(0, seen);
        id
    }

    fn end(&mut self, id: &str, code: i32) {
        let now = self.now;
        if let Some(seen) = self.observed.containers.iter_mut().find(|seen| seen.id == id) {
            let reason = if code == 0 { "Completed" } else { "Error" };
            (seen.state, seen.exit_code, seen.finished_at, seen.reason) = (State::Exited, code, Some(now), reason.into());
        }
    }

    /// The newest container of that name ends by itself.
    pub fn exits(mut self, name: &str, code: i32) -> Story {
        let id = self.observed.latest(name).map(|seen| seen.id.clone()).expect("it has been started");
        self.end(&id, code);
        let _ = writeln!(self.text, "- {name} exits with {code}");
        self.settle()
    }

    pub fn after(mut self, seconds: i64) -> Story {
        self.now += SignedDuration::from_secs(seconds);
        self.settle()
    }

    /// Goes to the next moment that the step asked for.
    pub fn next(mut self) -> Story {
        self.now = self.record.wake_at.expect("it waits for a time");
        self.settle()
    }

    pub fn deleted(mut self, grace_seconds: i64) -> Story {
        let mut pod: Pod = (*self.record.pod).clone();
        pod.metadata.deletion_timestamp = Some(crate::pod::view::api_time(self.now));
        pod.metadata.deletion_grace_period_seconds = Some(grace_seconds);
        self.record.update(Arc::new(pod));
        let _ = writeln!(self.text, "- deleted");
        self.settle()
    }

    /// From now on this probe fails.
    pub fn unwell(mut self, name: &str, kind: ProbeKind) -> Story {
        self.unwell.insert((name.into(), kind));
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut Story)) -> Story {
        change(&mut self);
        self
    }
}
