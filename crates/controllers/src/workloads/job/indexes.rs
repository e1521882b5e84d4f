//! Sets of completion indexes in the compressed form of the Job's status: `1,3-5,7`.
use crate::objects::annotation;
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeSet;
use std::fmt;

pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// Ordered, not touching each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Indexes(Vec<(i32, i32)>);

impl Indexes {
    /// Parts that cannot be read or lie beyond `completions` are left out.
    pub fn parse(text: &str, completions: i32) -> Indexes {
        let mut all = Indexes::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            if let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>())
                && first < completions
            {
                all.add(first, last.min(completions - 1));
            }
        }
        all
    }

    pub fn with(&self, more: &BTreeSet<i32>) -> Indexes {
        let single = Indexes(more.iter().map(|index| (*index, *index)).collect());
        self.merged(&single)
    }

    pub fn merged(&self, other: &Indexes) -> Indexes {
        let mut parts: Vec<(i32, i32)> = self.0.iter().chain(&other.0).copied().collect();
        parts.sort_unstable();
        let mut all = Indexes::default();
        parts.into_iter().for_each(|(first, last)| all.add(first, last));
        all
    }

    /// Adds a part that begins no earlier than those before.
    fn add(&mut self, first: i32, last: i32) {
        match self.0.last_mut() {
            Some(previous) if first <= previous.1.saturating_add(1) => previous.1 = previous.1.max(last),
            _ => self.0.push((first, last)),
        }
    }

    pub fn total(&self) -> i32 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn has(&self, index: i32) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < index);
        self.0.get(at).is_some_and(|(first, _)| *first <= index)
    }

    pub fn overlap(&self, other: &Indexes) -> i32 {
        let common = |a: &(i32, i32), b: &(i32, i32)| (a.1.min(b.1) - a.0.max(b.0) + 1).max(0);
        self.0.iter().map(|a| other.0.iter().map(|b| common(a, b)).sum::<i32>()).sum()
    }

    /// The first `count` indexes below `completions` that are not in here.
    pub fn first_missing(&self, count: usize, completions: i32) -> Vec<i32> {
        let mut missing = Vec::new();
        let mut next = 0;
        for (first, last) in self.0.iter().chain(&[(completions, completions)]) {
            while next < *first && next < completions && missing.len() < count {
                missing.push(next);
                next += 1;
            }
            next = next.max(last.saturating_add(1));
        }
        missing
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// The completion index of a pod.
pub fn index_of(pod: &Pod) -> Option<i32> {
    annotation(&pod.metadata, INDEX)?.parse().ok().filter(|index| *index >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let all = Indexes::parse("1,3-5,7,8,x,20-30", 10);
        assert_eq!((all.to_string().as_str(), all.total()), ("1,3-5,7,8", 6));
        assert!(all.has(4) && !all.has(6));
        assert_eq!(all.with(&BTreeSet::from([2, 9])).to_string(), "1-5,7-9");
        assert_eq!(all.first_missing(3, 10), [0, 2, 6]);
        assert_eq!(all.first_missing(9, 10), [0, 2, 6, 9]);
        assert_eq!(all.overlap(&Indexes::parse("4-7", 10)), 3);
    }
}
