//! Scaling a Deployment that is paused or in the middle of a rollout: all its sets keep their proportions.
use super::revision::{DESIRED, MAX};
use super::rollout::{Draft, Rollout};
use crate::objects::{annotation, created};
use std::cmp::Reverse;

impl Rollout<'_> {
    /// Whether some set remembers another wanted number than the Deployment's.
    pub fn is_scaling_event(&self) -> bool {
        self.all().filter(|draft| draft.replicas() > 0).any(|draft| number(draft, DESIRED).is_some_and(|wanted| wanted != self.wanted()))
    }

    pub fn scale(&mut self) {
        if let Some(only) = self.active_or_latest() {
            return self.resize(only, self.wanted(), false);
        }
        if self.is_saturated() {
            for at in 0..self.old.len() {
                if self.old[at].replicas() > 0 {
                    self.resize_old(at, 0);
                }
            }
        } else if self.old.iter().chain(&self.new).count() > 0 && !self.is_recreate() {
            self.scale_in_proportion();
        }
    }

    fn is_recreate(&self) -> bool {
        self.deployment.spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
    }

    /// The only set with pods, or the newest when there is none with pods. `None` in `Some` is the new set.
    fn active_or_latest(&self) -> Option<Place> {
        let active: Vec<Place> = self.places().into_iter().filter(|place| self.at(*place).replicas() > 0).collect();
        match active.as_slice() {
            [only] => Some(*only),
            [] if self.new.is_some() => Some(Place::New),
            // old sets are in the order of their creation
            [] if !self.old.is_empty() => Some(Place::Old(self.old.len() - 1)),
            _ => None,
        }
    }

    fn places(&self) -> Vec<Place> {
        let old = (0..self.old.len()).map(Place::Old);
        old.chain(self.new.is_some().then_some(Place::New)).collect()
    }

    fn at(&self, place: Place) -> &Draft {
        match (place, &self.new) {
            (Place::Old(at), _) => &self.old[at],
            (Place::New, Some(new)) => new,
            (Place::New, None) => unreachable!("a place is only made for a set that is there"),
        }
    }

    fn resize(&mut self, place: Place, size: i32, force: bool) {
        if !force && self.at(place).replicas() == size {
            return;
        }
        let mut set = self.at(place).set.clone();
        set.spec.replicas = Some(size);
        self.annotate_size(&mut set);
        match (place, &mut self.new) {
            (Place::Old(at), _) => self.old[at].set = set,
            (Place::New, new) => new.iter_mut().for_each(|new| new.set = set.clone()),
        }
    }

    fn is_saturated(&self) -> bool {
        let wanted = self.wanted();
        let all = |new: &Draft| new.replicas() == wanted && number(new, DESIRED) == Some(wanted) && new.available() == wanted;
        self.new.as_ref().is_some_and(all)
    }

    fn scale_in_proportion(&mut self) {
        let mut active: Vec<Place> = self.places().into_iter().filter(|place| self.at(*place).replicas() > 0).collect();
        let have: i32 = active.iter().map(|place| self.at(*place).replicas()).sum();
        let allowed = if self.wanted() > 0 { self.wanted() + self.max_surge() } else { 0 };
        let to_add = allowed - have;
        let age = |place: &Place| (created(&self.at(*place).set.metadata), self.at(*place).set.metadata.name.clone());
        let size = |place: &Place| Reverse(self.at(*place).replicas());
        if to_add > 0 {
            active.sort_by_key(|place| (size(place), Reverse(age(place))));
        } else {
            active.sort_by_key(|place| (size(place), age(place)));
        }
        let mut added = 0;
        let mut sizes = Vec::new();
        for place in &active {
            let share = self.share(self.at(*place), to_add, added);
            sizes.push(self.at(*place).replicas() + share);
            added += share;
        }
        // what rounding left over goes to the largest
        if let Some(first) = sizes.first_mut().filter(|_| to_add != 0) {
            *first = (*first + to_add - added).max(0);
        }
        for (place, size) in active.into_iter().zip(sizes) {
            self.resize(place, size, true);
        }
    }

    fn share(&self, draft: &Draft, to_add: i32, added: i32) -> i32 {
        if draft.replicas() == 0 || to_add == 0 || to_add == added {
            return 0;
        }
        let (fraction, allowed) = (self.fraction(draft), to_add - added);
        if to_add > 0 { fraction.min(allowed) } else { fraction.max(allowed) }
    }

    fn fraction(&self, draft: &Draft) -> i32 {
        if self.wanted() == 0 {
            return -draft.replicas();
        }
        let before = number(draft, MAX).filter(|most| *most != 0);
        let before = before.or_else(|| self.deployment.status.as_ref().and_then(|status| status.replicas)).unwrap_or(0);
        if before == 0 {
            return 0;
        }
        let most = self.wanted() + self.max_surge();
        let size = f64::from(draft.replicas()) * f64::from(most) / f64::from(before);
        size.round() as i32 - draft.replicas()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Old(usize),
    New,
}

fn number(draft: &Draft, key: &str) -> Option<i32> {
    annotation(&draft.set.metadata, key)?.parse().ok().filter(|number| *number >= 0)
}
