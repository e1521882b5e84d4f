//! The life of a pod on this node, decided: from what is remembered and what is observed to what is remembered next and what
//! is to be done. No I/O, no clock, no randomness.
//!
//! ```text
//!   take ─▶ prepare ─▶ sandbox ─▶ init containers ─▶ apps running ◀──┐
//!                                                     │ a container ends and comes back
//!                                                     └───────────────┘
//!   deleted, evicted, over its deadline, refused, or all done:
//!     kill containers ─▶ stop sandboxes ─▶ last status ─▶ clean up ─▶ (deleted) remove the object ─▶ erase
//! ```
mod end;
mod init;
pub(crate) mod live;

use crate::pod::effect::Effect;
use crate::pod::observed::{Observed, State};
use crate::pod::record::{PodRecord, Why};
use crate::pod::view::PodView;

use jiff::{SignedDuration, Timestamp};
pub(crate) use live::not_ready;

/// What a pod says that ran longer than it may.
pub const DEADLINE_REASON: &str = "DeadlineExceeded";
const DEADLINE_MESSAGE: &str = "Pod was active on the node longer than the specified deadline";

/// One step. The driver carries the effects out in their order, absorbs what comes of them, and steps again.
pub fn step(record: &PodRecord, observed: &Observed, now: Timestamp) -> (PodRecord, Vec<Effect>) {
    let mut next = record.clone();
    next.wake_at = None;
    next.take_stock(observed);
    notice_deletion(&mut next, now);
    let mut effects: Vec<Effect> = notice_deadline(&mut next, now).into_iter().collect();
    effects.extend(match (next.busy, next.stop.is_some()) {
        (true, _) => interrupt(&next),
        (false, false) => live::run(&mut next, observed, now),
        (false, true) => end::end(&mut next, observed, now),
    });
    probe(&mut next, observed, now, &mut effects);
    (next, effects)
}

/// The end has begun and the driver starts containers, or kills them more slowly than it may now.
fn interrupt(record: &PodRecord) -> Vec<Effect> {
    let Some(stop) = &record.stop else { return Vec::new() };
    let urgent = match record.killing {
        Some(grace_seconds) => grace_seconds > stop.grace_seconds,
        None => !record.ended,
    };
    if urgent { vec![Effect::Abort] } else { Vec::new() }
}

fn notice_deletion(record: &mut PodRecord, now: Timestamp) {
    if record.deletion_asked() {
        let grace_seconds = record.pod.grace_seconds().max(1);
        record.stop(Why::Deleted, "", "", grace_seconds, now);
    }
}

fn notice_deadline(record: &mut PodRecord, now: Timestamp) -> Option<Effect> {
    let seconds = record.pod.pod_spec().active_deadline_seconds.filter(|_| record.stop.is_none())?;
    let deadline = record.started_at + SignedDuration::from_secs(seconds);
    if now < deadline {
        record.wake(deadline);
        return None;
    }
    let grace_seconds = record.pod.grace_seconds().max(1);
    record.stop(Why::DeadlineExceeded, DEADLINE_REASON, DEADLINE_MESSAGE, grace_seconds, now);
    Some(Effect::Event { warning: false, reason: DEADLINE_REASON, message: DEADLINE_MESSAGE.into(), container: None })
}

fn probe(record: &mut PodRecord, observed: &Observed, now: Timestamp, effects: &mut Vec<Effect>) {
    if record.ended || !observed.containers.iter().any(|seen| seen.state == State::Running) {
        return;
    }
    let pod = record.pod.clone();
    let (due, wake) = record.probes.due(&pod, observed, record.stop.is_some(), now);
    effects.extend(due.into_iter().map(|(id, name, kind)| Effect::Probe { id, name, kind }));
    if let Some(at) = wake {
        record.wake(at);
    }
}

#[cfg(test)]
mod tests;
