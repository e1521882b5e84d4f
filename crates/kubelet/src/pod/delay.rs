//! The crash and image back-off: 10 s, doubled up to 5 min, forgotten after 10 quiet minutes. Data only; nobody sleeps here.
use jiff::{SignedDuration, Timestamp};

const FIRST_SECONDS: i64 = 10;
const LIMIT_SECONDS: i64 = 300;
/// An entry older than twice the limit means nothing any more.
const FORGET_SECONDS: i64 = 2 * LIMIT_SECONDS;

#[derive(Clone, Debug, PartialEq)]
pub struct Delay {
    pub seconds: i64,
    pub updated_at: Timestamp,
}

impl Delay {
    /// When somebody whose last attempt ended at `ended_at` may try again; `None`: now.
    pub fn until(delay: Option<&Delay>, ended_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let delay = delay.filter(|delay| !delay.forgotten(ended_at))?;
        let until = ended_at + SignedDuration::from_secs(delay.seconds);
        (until > now).then_some(until)
    }

    /// The delay after one more failure.
    pub fn next(delay: Option<&Delay>, ended_at: Timestamp, now: Timestamp) -> Delay {
        match delay.filter(|delay| !delay.forgotten(ended_at)) {
            Some(delay) => Delay { seconds: (delay.seconds * 2).min(LIMIT_SECONDS), updated_at: now },
            None => Delay { seconds: FIRST_SECONDS, updated_at: now },
        }
    }

    fn forgotten(&self, at: Timestamp) -> bool {
        at.duration_since(self.updated_at).as_secs() > FORGET_SECONDS
    }
}

/// A span as Go prints it: `10s`, `1m20s`, `5m0s`.
pub fn go_seconds(seconds: i64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_and_forgets() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut delay = None;
        let mut shown = Vec::new();
        for _ in 0..7 {
            delay = Some(Delay::next(delay.as_ref(), at(1000), at(1000)));
            shown.push(go_seconds(delay.as_ref().unwrap().seconds));
        }
        assert_eq!(shown.join(" "), "10s 20s 40s 1m20s 2m40s 5m0s 5m0s");
        assert_eq!(Delay::until(delay.as_ref(), at(1000), at(1299)), Some(at(1300)));
        assert_eq!(Delay::until(delay.as_ref(), at(1000), at(1300)), None);
        assert_eq!(Delay::until(delay.as_ref(), at(1700), at(1701)), None);
    }
}
