//! The rolling update: the new set grows as far as the surge allows, old sets shrink as far as availability allows.
use super::rollout::Rollout;

impl Rollout<'_> {
    pub fn roll(&mut self) {
        self.sync_new_set(true);
        if self.is_collision() {
            return;
        }
        if self.grow_new() || self.shrink_old() {
            return;
        }
        if super::status::is_complete(self.deployment, self.deployment.status.as_ref()) {
            self.clean_up();
        }
    }

    /// Scales the new set up (or down to what is wanted); gives whether anything changed.
    fn grow_new(&mut self) -> bool {
        let wanted = self.wanted();
        let Some(replicas) = self.new.as_ref().map(|new| new.replicas()) else { return false };
        let size = if replicas > wanted { wanted } else { self.room(replicas) };
        self.resize_new(size)
    }

    pub fn resize_new(&mut self, size: i32) -> bool {
        let Some(mut new) = self.new.take() else { return false };
        let changes = new.replicas() != size;
        if changes {
            new.set.spec.replicas = Some(size);
            self.annotate_size(&mut new.set);
        }
        self.new = Some(new);
        changes
    }

    pub fn resize_old(&mut self, at: usize, size: i32) {
        let mut set = self.old[at].set.clone();
        set.spec.replicas = Some(size);
        self.annotate_size(&mut set);
        self.old[at].set = set;
    }

    /// Pods of the new set that are not available yet must not make old ones go; unhealthy old ones go first.
    fn shrink_old(&mut self) -> bool {
        let old: i32 = self.old.iter().map(|draft| draft.replicas()).sum();
        if old == 0 {
            return false;
        }
        let least = self.wanted() - self.max_unavailable();
        let new_unavailable = self.new.as_ref().map_or(0, |new| new.replicas() - new.available());
        let most = self.total() - least - new_unavailable;
        if most <= 0 {
            return false;
        }
        self.shrink_unhealthy(most) + self.shrink_available(least) > 0
    }

    fn shrink_unhealthy(&mut self, most: i32) -> i32 {
        let mut gone = 0;
        for at in 0..self.old.len() {
            let (replicas, available) = (self.old[at].replicas(), self.old[at].available());
            if gone >= most || replicas == 0 || replicas == available {
                continue;
            }
            let less = (most - gone).min(replicas - available);
            self.resize_old(at, replicas - less);
            gone += less;
        }
        gone
    }

    fn shrink_available(&mut self, least: i32) -> i32 {
        let available: i32 = self.all().map(|draft| draft.available()).sum();
        let most = available - least;
        let mut gone = 0;
        for at in 0..self.old.len() {
            let replicas = self.old[at].replicas();
            if gone >= most || replicas == 0 {
                continue;
            }
            let less = replicas.min(most - gone);
            self.resize_old(at, replicas - less);
            gone += less;
        }
        gone
    }
}
