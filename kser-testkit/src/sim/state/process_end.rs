use std::sync::Arc;

use kser_core::Timestamp;

use super::super::mark::Act;
use super::super::outbox::HandedIn;
use super::State;
use crate::faults::Fault;

/// Ends of processes.
impl State {
    /// Crashes a process. Returns the number of its consumer, if it was alive and is one.
    pub(in crate::sim) fn crash(&mut self, life: usize, now: Timestamp) -> Option<usize> {
        if !self.is_alive(life) {
            return None;
        }
        let name = Arc::clone(&self.lives[life].name);
        self.note(&name, Act::Crash, "crashes");
        self.gone(life, now)
    }

    /// Ends the outbox of a process. The deliveries in it are to be dropped without the lock.
    pub(in crate::sim) fn end_outbox(&mut self, life: usize) -> Vec<HandedIn> {
        let life = self.lives.get_mut(life);
        life.map(|life| life.outbox.end()).unwrap_or_default()
    }

    /// Ends the outboxes of all processes, as [`end_outbox`](Self::end_outbox) does.
    pub(in crate::sim) fn end_outboxes(&mut self) -> Vec<HandedIn> {
        let lives = self.lives.iter_mut();
        lives.flat_map(|life| life.outbox.end()).collect()
    }

    /// Checks that a consumer that stopped gracefully has left its groups. After another fault there may have been no time
    /// to leave, so nothing is checked then.
    pub(in crate::sim) fn must_have_left(&mut self, life: usize, name: &str) {
        let mut fired = self.sites.fired().iter();
        if fired.any(|(_, fault)| *fault != Fault::Leave) {
            return;
        }
        let members = self.lives.get(life).map(|life| life.members.clone());
        let mut members = members.into_iter().flatten();
        let stays = members.any(|member| {
            self.broker
                .member(member)
                .is_some_and(|member| member.group.is_some() && !member.superseded)
        });
        if stays && self.lives[life].consumer.is_some() {
            self.facts.add_violation(
                "Shutdown",
                format!("{name} has stopped, and has not left its group"),
            );
        }
    }

    /// Removes a process that has ended, with its calls. Returns the number of its consumer, if it is one.
    pub(in crate::sim) fn gone(&mut self, life: usize, now: Timestamp) -> Option<usize> {
        let gone = self.lives.get_mut(life)?;
        gone.alive = false;
        let (consumer, members) = (gone.consumer, std::mem::take(&mut gone.members));
        for member in members {
            self.broker.vanish(member, now);
        }
        self.parked.retain(|_, parked| parked.life != life);
        consumer
    }
}
