//! The active partitions of a member: those that the next poll looks at. Of thousands of partitions, most are idle.

use super::Member;
use crate::assignment::Assignment;
use crate::member::pressure::Pressure;

impl Member {
    /// Returns an assignment in order to change it, and marks it as active.
    pub(crate) fn activate(&mut self, id: u64) -> Option<&mut Assignment> {
        let assignment = self.assignments.get_mut(&id)?;
        self.active.insert(id);
        Some(assignment)
    }

    /// Marks all partitions as active.
    pub(crate) fn activate_all(&mut self) {
        self.active = self.assignments.keys().copied().collect();
    }

    /// Lists the active assignments, in the order of their numbers.
    pub(crate) fn active(&self) -> impl Iterator<Item = &Assignment> {
        let active = self.active.iter();
        active.filter_map(|id| self.assignments.get(id))
    }

    /// Calls `act` with each active assignment, in the order of their numbers.
    pub(crate) fn each_active(&mut self, mut act: impl FnMut(&mut Assignment)) {
        for id in &self.active {
            if let Some(assignment) = self.assignments.get_mut(id) {
                act(assignment);
            }
        }
    }

    /// Removes the idle assignments from the active ones, until they change.
    pub(crate) fn deactivate_idle(&mut self) {
        let assignments = &self.assignments;
        let is_idle = |id: &u64| assignments.get(id).is_none_or(Assignment::is_idle);
        self.active.retain(|id| !is_idle(id));
    }

    /// Adds up the size of the records that cannot be delivered yet. Above half of the limit, all partitions are marked as
    /// active.
    pub(crate) fn measure_pressure(&mut self) -> Pressure {
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
