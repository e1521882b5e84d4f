//! The one source of time. Components get a `Clock` passed in and never ask the operating system, so that a whole control
//! plane runs on virtual time: under tokio's paused clock `Clock::simulated` moves with it.
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

/// Wall-clock time and sleeping; cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock {
    /// `None`: the system's wall clock. `Some`: the moment at which `start` stood for this timestamp.
    origin: Option<(Timestamp, Instant)>,
}

impl Clock {
    pub fn system() -> Clock {
        Clock { origin: None }
    }

    /// A clock that begins at `epoch` now and advances with tokio's (pausable) time.
    pub fn simulated(epoch: Timestamp) -> Clock {
        Clock { origin: Some((epoch, Instant::now())) }
    }

    pub fn now(&self) -> Timestamp {
        match &self.origin {
            None => Timestamp::now(),
            Some((epoch, start)) => *epoch + start.elapsed(),
        }
    }

    /// Monotonic time, for measuring spans.
    pub fn instant(&self) -> Instant {
        Instant::now()
    }

    pub async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    pub async fn sleep_until(&self, at: Timestamp) {
        let span = Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
        tokio::time::sleep(span).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn simulated_time_moves_with_tokio() {
        let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
        clock.sleep(Duration::from_secs(90)).await;
        assert_eq!(clock.now().as_second(), 90);
    }
}
