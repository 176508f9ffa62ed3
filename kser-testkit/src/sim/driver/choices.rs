use kser_core::Clock;
use tokio::time::Instant;

use super::super::state::Action;
use super::Driver;

impl Driver {
    /// Lists the possible next actions: first those of the process whose call was let through last.
    pub(super) fn actions(&self) -> Vec<Action> {
        let shared = &self.place.shared;
        let now = shared.clock().now();
        // Without a touch, which would have the driver look again.
        let mut actions = shared.timed(|state| state.actions(now));
        actions.sort_by_key(|action| action.life() != self.last);
        let now = Instant::now();
        let starts = self.lives.iter().enumerate();
        let starts = starts.filter(|(_, (_, at))| at.is_some_and(|at| at <= now));
        actions.extend(starts.map(|(number, _)| Action::Start(number)));
        let clients = self.clients.iter().enumerate();
        let clients = clients.filter(|(_, client)| client.is_some());
        actions.extend(clients.map(|(number, _)| Action::Ask(number)));
        actions
    }
}
