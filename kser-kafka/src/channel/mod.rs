pub(crate) mod settle;
pub(crate) mod subscription;

use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kser_core::{
    Cancellation, Delivery, Error, Health, Origin, Record, Room, Settle, Ticket, Timestamp,
};
use rdkafka::error::KafkaError;
use tokio::sync::{Notify, oneshot};

use crate::error::failed;

/// How many records, and how many bytes of them, may wait for whoever receives.
const INBOX_LIMIT: (usize, usize) = (4096, 8 << 20);

/// What a subscription, its tickets, and the thread that polls for them share.
#[derive(Debug, Default)]
pub(crate) struct PollChannel {
    inbox: Mutex<Inbox>,
    arrived: Notify,
    commands: Mutex<Commands>,
    pub(crate) wakeup: Wakeup,
    live: Mutex<BTreeSet<u64>>,
    health: Mutex<Health>,
}

/// A record that waits to be received.
#[derive(Debug)]
pub(crate) struct QueuedRecord {
    pub(crate) id: RecordId,
    pub(crate) record: Record,
    pub(crate) partition: i32,
    pub(crate) unreported: u32,
    /// How many attempts had failed when it was given back.
    pub(crate) failed: u32,
    pub(crate) revoked: Cancellation,
}

/// A record of an assignment: a partition while it is ours. One that comes back is another assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RecordId {
    pub(crate) assignment: u64,
    pub(crate) offset: i64,
}

impl RecordId {
    pub(crate) fn ticket(self) -> u128 {
        (u128::from(self.assignment) << 64) | u128::from(self.offset.cast_unsigned())
    }

    pub(crate) fn of_ticket(ticket: u128) -> Self {
        let offset = u64::try_from(ticket & u128::from(u64::MAX)).unwrap_or_default();
        Self {
            assignment: u64::try_from(ticket >> 64).unwrap_or_default(),
            offset: offset.cast_signed(),
        }
    }
}

#[derive(Debug, Default)]
struct Inbox {
    waiting: VecDeque<QueuedRecord>,
    bytes: usize,
    /// How many records were released and are not yet where they come from next: until then none is taken, since one of
    /// the same key could come before it.
    released: usize,
    ended: Option<Error>,
    is_ended: bool,
}

impl Inbox {
    fn is_crowded(&self) -> bool {
        self.waiting.len() >= INBOX_LIMIT.0 || self.bytes >= INBOX_LIMIT.1
    }
}

/// What the thread is asked to do.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    pub(crate) done: Vec<RecordId>,
    /// What was given back: until when, and after how many failed attempts.
    pub(crate) released: Vec<(RecordId, Option<Timestamp>, u32)>,
    /// Waiting records that could not be sent on, and why.
    pub(crate) unsent: Vec<(RecordId, Error)>,
    pub(crate) begun: Vec<(RecordId, oneshot::Sender<Result<(), Error>>)>,
    pub(crate) close: Option<oneshot::Sender<Result<(), Error>>>,
    /// The close does not wait for what is held.
    pub(crate) at_once: bool,
    pub(crate) dropped: bool,
}

impl PollChannel {
    /// Asks the thread for something, and wakes it. Once it has ended, whoever waits for an answer is told by its end.
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
        // As many are settled until the next time.
        let next = Commands {
            done: Vec::with_capacity(commands.done.len()),
            ..Commands::default()
        };
        std::mem::replace(&mut *commands, next)
    }

    /// Marks a record as done, if its partition is still ours.
    pub(crate) fn done(&self, id: RecordId) -> Result<(), Error> {
        // Under the lock, so that a revocation that takes the last orders takes this one too, or is seen here.
        let live = lock(&self.live);
        if !live.contains(&id.assignment) {
            return Err(Error::Lost);
        }
        // Nobody is woken: a commit has time until the thread looks the next time.
        lock(&self.commands).done.push(id);
        Ok(())
    }

    /// Gives a record back, after so many failed attempts.
    pub(crate) fn release(&self, id: RecordId, not_before: Option<Timestamp>, failed: u32) {
        lock(&self.inbox).released += 1;
        self.command(|commands| commands.released.push((id, not_before, failed)));
    }

    /// Says that a waiting record could not be sent on.
    pub(crate) fn unsent(&self, id: RecordId, error: Error) {
        self.command(|commands| commands.unsent.push((id, error)));
    }

    /// Says that so many releases are done.
    pub(crate) fn released(&self, count: usize) {
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

    /// Puts records behind those that wait.
    pub(crate) fn deliver(&self, records: impl Iterator<Item = QueuedRecord>) {
        let mut inbox = lock(&self.inbox);
        for waiting in records {
            inbox.bytes += waiting.record.size();
            inbox.waiting.push_back(waiting);
        }
        drop(inbox);
        self.arrived.notify_one();
    }

    /// Takes back what waits and is one of these.
    pub(crate) fn recall(&self, mut which: impl FnMut(&QueuedRecord) -> bool) -> Vec<QueuedRecord> {
        let mut inbox = lock(&self.inbox);
        if inbox.waiting.is_empty() {
            return Vec::new();
        }
        let all = std::mem::take(&mut inbox.waiting);
        let (back, kept): (Vec<_>, VecDeque<_>) = {
            let mut back = Vec::new();
            let mut kept = VecDeque::with_capacity(all.len());
            for waiting in all {
                match which(&waiting) {
                    true => back.push(waiting),
                    false => kept.push_back(waiting),
                }
            }
            (back, kept)
        };
        inbox.waiting = kept;
        inbox.bytes -= back
            .iter()
            .map(|waiting| waiting.record.size())
            .sum::<usize>();
        back
    }

    /// Returns how many records may be fetched: none when so much waits that nobody seems to receive.
    pub(crate) fn room(&self) -> usize {
        let inbox = lock(&self.inbox);
        match inbox.is_crowded() {
            true => 0,
            false => INBOX_LIMIT.0 - inbox.waiting.len(),
        }
    }

    /// Says whether so little waits that, after it was crowded, more should be fetched.
    pub(crate) fn has_room(&self) -> bool {
        let inbox = lock(&self.inbox);
        inbox.waiting.len() <= INBOX_LIMIT.0 / 2 && inbox.bytes <= INBOX_LIMIT.1 / 2
    }

    /// Says that no more comes, and why. What is asked for from now on is not done.
    pub(crate) fn finish(&self, error: Error) {
        let mut inbox = lock(&self.inbox);
        inbox.is_ended = true;
        inbox.ended.get_or_insert(error);
        drop(inbox);
        drop(self.take_commands());
        self.arrived.notify_one();
    }

    /// Runs what a thread does for the receiver, who would wait for ever after a panic: a panic is the end. `None` if there
    /// was one.
    pub(crate) fn guard<T>(&self, doing: &str, serve: impl FnOnce() -> T) -> Option<T> {
        let served = catch_unwind(AssertUnwindSafe(serve));
        if served.is_err() {
            self.finish(failed(doing, None, KafkaError::Canceled));
        }
        served.ok()
    }

    /// Waits for records and takes at most what `room` allows. Dropping the future loses none.
    pub(crate) async fn receive(
        &self,
        room: Room,
        settle: &Arc<dyn Settle>,
    ) -> Result<Vec<Delivery>, Error> {
        loop {
            if let Some(received) = self.take(room, settle) {
                return received;
            }
            self.arrived.notified().await;
        }
    }

    fn take(&self, room: Room, settle: &Arc<dyn Settle>) -> Option<Result<Vec<Delivery>, Error>> {
        let mut inbox = lock(&self.inbox);
        let ended = inbox.is_ended;
        if inbox.released > 0 && !ended {
            return None;
        }
        if inbox.waiting.is_empty() {
            return ended.then(|| Err(inbox.ended.take().unwrap_or(Error::Closed)));
        }
        let was_crowded = inbox.is_crowded();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < room.records.max(1) && (taken.is_empty() || bytes < room.bytes) {
            let Some(waiting) = inbox.waiting.pop_front() else {
                break;
            };
            bytes += waiting.record.size();
            taken.push(waiting);
        }
        inbox.bytes -= bytes;
        let has_room = was_crowded && !inbox.is_crowded();
        drop(inbox);
        let deliveries = taken
            .into_iter()
            .map(|waiting| waiting.into_delivery(settle));
        let deliveries = deliveries.collect();
        if has_room {
            self.wakeup.wake();
        }
        Some(Ok(deliveries))
    }

    pub(crate) fn health(&self) -> Health {
        lock(&self.health).clone()
    }

    pub(crate) fn set_health(&self, health: Health) {
        *lock(&self.health) = health;
    }
}

impl QueuedRecord {
    fn into_delivery(self, settle: &Arc<dyn Settle>) -> Delivery {
        let origin = Origin {
            partition: self.partition,
            offset: self.id.offset,
        };
        let ticket = Ticket::new(self.id.ticket(), Arc::clone(settle));
        Delivery::revocable(self.record, origin, ticket, self.revoked)
            .with_unreported(self.unreported)
            .with_failed(self.failed)
    }
}

/// Wakes a thread.
#[derive(Debug, Default)]
pub(crate) struct Wakeup {
    is_woken: Mutex<bool>,
    woken: Condvar,
}

impl Wakeup {
    pub(crate) fn wake(&self) {
        *lock(&self.is_woken) = true;
        self.woken.notify_one();
    }

    /// Waits until it is rung, or has been since the last wait, for a time at most.
    pub(crate) fn wait(&self, limit: Duration) {
        let is_woken = lock(&self.is_woken);
        let waited = self
            .woken
            .wait_timeout_while(is_woken, limit, |is_woken| !*is_woken);
        let (mut is_woken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *is_woken = false;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
