//! Exponential back-off as data: the caller sleeps. `next` doubles up to the limit, `reset` starts over.
use crate::random::Random;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    limit: Duration,
    attempts: u32,
}

impl Backoff {
    pub const fn new(first: Duration, limit: Duration) -> Backoff {
        Backoff { first, limit, attempts: 0 }
    }

    /// How long to wait before the next attempt: first, 2×, 4×, … up to the limit.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.first.saturating_mul(1u32 << self.attempts.min(20)).min(self.limit);
        self.attempts += 1;
        delay
    }

    /// The same with up to half of it added at random, so that many waiters do not come back together.
    pub fn next_jittered(&mut self, random: &Random) -> Duration {
        self.next_delay().mul_f64(1.0 + random.f64() / 2.0)
    }

    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_limit() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let delays: Vec<u64> = (0..4).map(|_| backoff.next_delay().as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 5]);
    }
}
