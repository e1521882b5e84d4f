//! Seeded random numbers. One `Random` is made at start-up (from the system, or from a seed in a simulation) and forked for
//! each component, so a run is repeatable from its seed.
use std::sync::{Arc, Mutex};

/// The letters of generated names: no vowels and no look-alikes, as in the API's own `generateName`.
const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

#[derive(Clone, Debug)]
pub struct Random(Arc<Mutex<fastrand::Rng>>);

impl Random {
    pub fn seeded(seed: u64) -> Random {
        Random(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    pub fn system() -> Random {
        Random(Arc::new(Mutex::new(fastrand::Rng::new())))
    }

    /// An independent stream that continues repeatably from this one.
    pub fn fork(&self) -> Random {
        Random::seeded(self.u64(..))
    }

    pub fn u64(&self, range: impl std::ops::RangeBounds<u64>) -> u64 {
        self.0.lock().expect("no panic while drawing").u64(range)
    }

    pub fn f64(&self) -> f64 {
        self.0.lock().expect("no panic while drawing").f64()
    }

    /// Five letters for `generateName`.
    pub fn name_suffix(&self) -> String {
        (0..5).map(|_| NAME_LETTERS[self.u64(0..NAME_LETTERS.len() as u64) as usize] as char).collect()
    }

    /// A random (version 4) UUID in text form. Not for secrets.
    pub fn uuid(&self) -> String {
        let (a, b) = (self.u64(..), self.u64(..));
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            0x8000 | ((b >> 48) & 0x3fff),
            b & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_names() {
        assert_eq!(Random::seeded(7).fork().name_suffix(), Random::seeded(7).fork().name_suffix());
        assert_eq!(Random::seeded(7).uuid().len(), 36);
    }
}
