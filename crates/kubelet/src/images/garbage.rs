//! Which images to remove when the image file system is too full. Pure.
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};

/// Above this share of the disk images are removed …
pub const HIGH_PERCENT: u64 = 85;
/// … until it is below this.
pub const LOW_PERCENT: u64 = 80;
/// An image younger than this stays.
pub const MIN_AGE_SECONDS: i64 = 120;

pub struct Stored {
    pub id: String,
    pub size_bytes: u64,
    pub pinned: bool,
    /// Last used by a container, or first seen.
    pub used_at: Timestamp,
    pub first_seen: Timestamp,
}

/// Ids to remove, least recently used first, to free what is over the lower mark.
pub fn to_remove(mut images: Vec<Stored>, in_use: &BTreeSet<String>, used_bytes: u64, capacity_bytes: u64, now: Timestamp) -> Vec<String> {
    if capacity_bytes == 0 || used_bytes * 100 / capacity_bytes < HIGH_PERCENT {
        return Vec::new();
    }
    let mut over = used_bytes.saturating_sub(capacity_bytes * LOW_PERCENT / 100);
    images.sort_by(|a, b| (a.used_at, &a.id).cmp(&(b.used_at, &b.id)));
    let mut chosen = Vec::new();
    for image in images {
        let young = now.duration_since(image.first_seen).as_secs() < MIN_AGE_SECONDS;
        if over == 0 || image.pinned || young || in_use.contains(&image.id) {
            continue;
        }
        over = over.saturating_sub(image.size_bytes);
        chosen.push(image.id);
    }
    chosen
}

/// When each image was first seen and last used; kept by whoever looks.
#[derive(Default)]
pub struct Memory {
    pub seen: HashMap<String, (Timestamp, Timestamp)>,
}

impl Memory {
    pub fn note(&mut self, ids: &[String], in_use: &BTreeSet<String>, now: Timestamp) {
        self.seen.retain(|id, _| ids.contains(id));
        for id in ids {
            let entry = self.seen.entry(id.clone()).or_insert((now, now));
            if in_use.contains(id) {
                entry.1 = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_go_until_enough_is_free() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let image =
            |id: &str, used: i64| Stored { id: id.into(), size_bytes: 4, pinned: id == "pin", used_at: at(used), first_seen: at(0) };
        let all = || vec![image("new", 90), image("old", 1), image("pin", 0), image("busy", 0), image("mid", 50)];
        let busy = BTreeSet::from(["busy".to_string()]);
        assert!(to_remove(all(), &busy, 84, 100, at(1000)).is_empty());
        assert_eq!(to_remove(all(), &busy, 86, 100, at(1000)), ["old", "mid"]);
        assert!(to_remove(all(), &busy, 86, 100, at(100)).is_empty());
    }
}
