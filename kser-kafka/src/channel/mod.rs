//! Between the poll thread of a consumer and the tasks: records go to the inbox, and commands come back.

mod commands;
mod inbox;
mod record_id;
pub(crate) mod settle;
pub(crate) mod subscription;
mod wakeup;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kser_core::{Delivery, Error, HandIn, Health, Room, Timestamp};
use rdkafka::error::KafkaError;
use tokio::sync::Notify;

pub(crate) use self::commands::Commands;
use self::inbox::Inbox;
pub(crate) use self::inbox::QueuedRecord;
pub(crate) use self::record_id::RecordId;
use self::wakeup::Wakeup;
use crate::clock::monotonic;
use crate::error::failed;

/// The state that a subscription, its tickets and their poll thread share.
#[derive(Debug, Default)]
pub(crate) struct PollChannel {
    inbox: Mutex<Inbox>,
    arrived: Notify,
    commands: Mutex<Commands>,
    pub(crate) wakeup: Wakeup,
    /// The assignments whose records may be settled.
    live: Mutex<BTreeSet<u64>>,
    /// The health, and the time at which the thread has set it.
    health: Mutex<(Health, Option<Instant>)>,
}

impl PollChannel {
    /// Adds a command, and wakes the thread. After the thread has ended the command is dropped, and with it the sender of its
    /// answer.
    pub(crate) fn command(&self, command: impl FnOnce(&mut Commands)) {
        let mut commands = lock(&self.commands);
        command(&mut commands);
        if lock(&self.inbox).is_ended {
            *commands = Commands::default();
        }
        drop(commands);
        self.wakeup.wake();
    }

    pub(crate) fn take_commands(&self) -> Commands {
        let mut commands = lock(&self.commands);
        // About as many records are settled until the next time.
        let next = Commands {
            done: Vec::with_capacity(commands.done.len()),
            ..Commands::default()
        };
        std::mem::replace(&mut *commands, next)
    }

    /// Marks a record as done.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] if the member has lost the partition.
    pub(crate) fn mark_done(&self, id: RecordId) -> Result<(), Error> {
        // The lock is held until the command is added: a revocation that takes the last commands gets this one too, or has ended
        // the assignment before it.
        let live = lock(&self.live);
        if !live.contains(&id.assignment) {
            return Err(Error::Lost);
        }
        // The thread is not woken: it looks often enough for a commit.
        lock(&self.commands).done.push(id);
        Ok(())
    }

    /// Releases a record after `failed` failed attempts.
    pub(crate) fn release(&self, id: RecordId, not_before: Option<Timestamp>, failed: u32) {
        lock(&self.inbox).released += 1;
        self.command(|commands| commands.released.push((id, not_before, failed)));
    }

    /// Tells the thread that a delayed record could not be forwarded.
    pub(crate) fn report_unforwarded(&self, id: RecordId, error: Error) {
        self.command(|commands| commands.unsent.push((id, error)));
    }

    /// Notes that the thread has put `count` released records back.
    pub(crate) fn confirm_releases(&self, count: usize) {
        if count > 0 {
            lock(&self.inbox).released -= count;
            self.arrived.notify_one();
        }
    }

    pub(crate) fn is_live(&self, assignment: u64) -> bool {
        lock(&self.live).contains(&assignment)
    }

    pub(crate) fn begin(&self, assignment: u64) {
        lock(&self.live).insert(assignment);
    }

    pub(crate) fn end(&self, assignment: u64) {
        lock(&self.live).remove(&assignment);
    }

    /// Puts records at the end of the inbox.
    pub(crate) fn deliver(&self, records: impl Iterator<Item = QueuedRecord>) {
        let mut inbox = lock(&self.inbox);
        records.for_each(|queued| inbox.push(queued));
        drop(inbox);
        self.arrived.notify_one();
    }

    /// Takes records out of the inbox for which `which` returns `true`.
    pub(crate) fn recall(&self, which: impl FnMut(&QueuedRecord) -> bool) -> Vec<QueuedRecord> {
        lock(&self.inbox).recall(which)
    }

    /// Returns the number of records that may be fetched: 0 when the inbox is full since the consumer does not receive.
    pub(crate) fn room(&self) -> usize {
        lock(&self.inbox).room()
    }

    /// Says whether the inbox is at most half full, so that fetching goes on after it was crowded.
    pub(crate) fn has_room(&self) -> bool {
        lock(&self.inbox).has_room()
    }

    /// Ends the subscription with an error. Commands that follow are dropped.
    pub(crate) fn finish(&self, error: Error) {
        let mut inbox = lock(&self.inbox);
        inbox.is_ended = true;
        inbox.ended.get_or_insert(error);
        drop(inbox);
        drop(self.take_commands());
        self.arrived.notify_one();
    }

    /// Runs the work of a thread. A panic ends the subscription with an error, since the receiver would wait for ever; then
    /// `None` is returned.
    pub(crate) fn guard<T>(&self, doing: &str, serve: impl FnOnce() -> T) -> Option<T> {
        let served = catch_unwind(AssertUnwindSafe(serve));
        if served.is_err() {
            self.finish(failed(doing, None, KafkaError::Canceled));
        }
        served.ok()
    }

    /// Waits for records and takes at most as many as `room` allows.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no record.
    pub(crate) async fn receive(
        &self,
        room: Room,
        settle: &Arc<dyn HandIn>,
    ) -> Result<Vec<Delivery>, Error> {
        loop {
            if let Some(received) = self.take(room, settle) {
                return received;
            }
            self.arrived.notified().await;
        }
    }

    fn take(&self, room: Room, settle: &Arc<dyn HandIn>) -> Option<Result<Vec<Delivery>, Error>> {
        let mut inbox = lock(&self.inbox);
        let ended = inbox.is_ended;
        if inbox.released > 0 && !ended {
            return None;
        }
        if inbox.is_empty() {
            return ended.then(|| Err(inbox.ended.take().unwrap_or(Error::Closed)));
        }
        let was_crowded = inbox.is_crowded();
        let taken = inbox.take(room);
        let has_room = was_crowded && !inbox.is_crowded();
        drop(inbox);
        let deliveries = taken.into_iter().map(|queued| queued.into_delivery(settle));
        let deliveries = deliveries.collect();
        if has_room {
            self.wakeup.wake();
        }
        Some(Ok(deliveries))
    }

    pub(crate) fn health(&self) -> Health {
        let (mut health, set_at) = lock(&self.health).clone();
        // A thread that is stuck sets it no more, and hears no broker.
        let age = set_at.map(|at| at.elapsed()).unwrap_or_default();
        health.last_heard = health.last_heard.map(|heard| heard + age);
        health
    }

    pub(crate) fn set_health(&self, health: Health) {
        *lock(&self.health) = (health, Some(monotonic()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_thread_that_is_stuck_hears_no_broker() {
        let channel = PollChannel::default();
        let mut health = Health::default();
        health.last_heard = Some(Duration::from_secs(1));
        channel.set_health(health);
        std::thread::sleep(Duration::from_millis(20));
        let heard = channel.health().last_heard.unwrap();
        assert!(heard >= Duration::from_millis(1020), "{heard:?}");
    }
}
