//! Which partitions a turn of the poll thread looks at. Of thousands of them, most have nothing to do.

use super::Member;
use crate::assignment::Assignment;
use crate::member::pressure::Pressure;

impl Member {
    /// Returns an assignment for a change, after which the next turn looks at it.
    pub(super) fn activate(&mut self, id: u64) -> Option<&mut Assignment> {
        let assignment = self.assignments.get_mut(&id)?;
        self.active.insert(id);
        Some(assignment)
    }

    /// Has the next turn look at all partitions.
    pub(crate) fn activate_all(&mut self) {
        self.active = self.assignments.keys().copied().collect();
    }

    /// Lists the assignments that have something to do, in the order of their numbers.
    pub(crate) fn active(&self) -> impl Iterator<Item = &Assignment> {
        let active = self.active.iter();
        active.filter_map(|id| self.assignments.get(id))
    }

    /// Takes each of the assignments that have something to do, in the order of their numbers.
    pub(crate) fn each_active(&mut self, mut act: impl FnMut(&mut Assignment)) {
        for id in &self.active {
            if let Some(assignment) = self.assignments.get_mut(id) {
                act(assignment);
            }
        }
    }

    /// Forgets the assignments that have nothing to do until they change.
    pub(crate) fn rest(&mut self) {
        let assignments = &self.assignments;
        let is_idle = |id: &u64| assignments.get(id).is_none_or(Assignment::is_idle);
        self.active.retain(|id| !is_idle(id));
    }

    /// Adds up the bytes of the records that wait. Above half of what may wait, all partitions are looked at.
    pub(crate) fn weigh(&mut self) -> Pressure {
        let mut bytes = self.waiting_bytes;
        self.each_active(|assignment| {
            let now = assignment.waiting_bytes();
            bytes = bytes + now - std::mem::replace(&mut assignment.weighed, now);
        });
        self.waiting_bytes = bytes;
        let pressure = Pressure::new(self.assignments.len(), bytes);
        if pressure.is_near() {
            self.activate_all();
        }
        pressure
    }
}
