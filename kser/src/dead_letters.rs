mod replay;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kser_core::{
    Delivery, Error, Interest, Origin, Record, Room, Subscription, Ticket, Timestamp, Topic,
    headers,
};
use tokio::time::{Instant, timeout_at};

pub use self::replay::{FailedReplay, ReplayReport};
use crate::dead_letter::DeadLetter;
use crate::shared::Shared;
use crate::topics::DEAD_LETTERS;

/// The time that [`DeadLetters::list`] waits for a dead letter after the one before it.
const QUIET: Duration = Duration::from_secs(2);

/// The time that [`DeadLetters::list`] waits for the backend to assign partitions.
const ASSIGNED: Duration = Duration::from_secs(30);

/// The number of dead letters that are received at once.
const ROOM: usize = 1024;

/// A session that looks at the dead letters of one topic and replays them.
///
/// The session is a member of the group `kser.<topic>.dlt`: a dead letter is in the hands of one session at a time. A session
/// returns each dead letter once. A dead letter that is neither replayed nor discarded stays in the topic, and comes again in the
/// next session: it is held until [`close`](Self::close), or until this is dropped.
///
/// ```
/// # use kser::{Entrypoint, Registry, TaskError};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, Entrypoint)]
/// # #[entrypoint("image.Resize")]
/// # struct Resize { width: u32 }
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), kser::Error> {
/// # let kser = kser::connect("memory://").await?;
/// # let fails = |_: Resize| async { Err::<(), _>(TaskError::new("TooWide", "no").with_code(422)) };
/// # let consumer = kser.consumer(Registry::new().task(fails).build()?).spawn();
/// # for width in [1, 2] { kser.producer().send(Resize { width }).await?; }
/// # tokio::time::sleep(std::time::Duration::from_secs(1)).await;
/// let mut letters = kser.dead_letters("image").await?;
/// for letter in letters.list(100).await? {
///     println!("{:?}: {:?}", letter.origin(), letter.error());
/// }
/// letters.close().await?;
/// # consumer.stop().await
/// # }
/// ```
pub struct DeadLetters {
    shared: Arc<Shared>,
    subscription: Box<dyn Subscription>,
    /// The dead letters that are received and not returned yet.
    received: VecDeque<(Place, Record)>,
    session: Open,
}

/// Closes the session when it is dropped.
#[derive(Debug, Default)]
struct Open(Arc<Session>);

/// The topic, partition and offset of a dead letter.
pub(crate) type Place = (Topic, Origin);

/// The tickets of the dead letters that are neither replayed nor discarded; `None` once the session is closed.
#[derive(Debug)]
pub(crate) struct Session(Mutex<Option<BTreeMap<Place, Ticket>>>);

/// Shows no dead letters, which may have secrets.
impl fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetters")
            .field("subscription", &self.subscription)
            .field("received", &self.received.len())
            .finish_non_exhaustive()
    }
}

impl DeadLetters {
    pub(crate) async fn open(shared: Arc<Shared>, topic: &str) -> Result<Self, Error> {
        if topic.ends_with(DEAD_LETTERS) {
            return Err(Error::InvalidTopic {
                name: topic.to_owned(),
                reason: "name the topic itself, without `.dlt`",
            });
        }
        let routes = &shared.writer.routes;
        let dead_letters = routes.prefixed(&Topic::new(topic)?)?;
        let dead_letters = dead_letters.with_suffix(DEAD_LETTERS)?;
        let group = routes.group(&dead_letters);
        let interest = Interest::group(group, vec![dead_letters]);
        let subscription = shared.transport.subscribe(interest).await?;
        Ok(Self {
            shared,
            subscription,
            received: VecDeque::new(),
            session: Open::default(),
        })
    }

    /// Waits for the next dead letter that this session has not returned yet.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the transport does not answer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no dead letter.
    pub async fn next(&mut self) -> Result<DeadLetter, Error> {
        loop {
            if let Some(dead_letter) = self.take() {
                return Ok(dead_letter);
            }
            self.receive(1).await?;
        }
    }

    /// Returns the next dead letter that this session has not returned yet; `None` once no dead letter is waiting, which takes as
    /// long as in [`list`](Self::list).
    ///
    /// ```
    /// # async fn show(letters: &mut kser::dead_letter::DeadLetters) -> Result<(), kser::Error> {
    /// while let Some(letter) = letters.next_waiting().await? {
    ///     println!("{:?}: {:?}", letter.origin(), letter.error());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A message that is replayed in such a loop and fails again becomes a new dead letter, which the loop meets, too:
    /// [`DeadLetter::replays`] counts, and [`replay_all`](Self::replay_all) replays each once.
    ///
    /// As a `Stream` of the crate `futures`:
    ///
    /// ```
    /// # use futures_util::{TryStream, stream};
    /// # use kser::dead_letter::{DeadLetter, DeadLetters};
    /// # fn as_stream(letters: DeadLetters) -> impl TryStream<Ok = DeadLetter, Error = kser::Error> {
    /// stream::try_unfold(letters, |mut letters| async move {
    ///     let letter = letters.next_waiting().await?;
    ///     Ok(letter.map(|letter| (letter, letters)))
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the transport does not answer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no dead letter.
    pub async fn next_waiting(&mut self) -> Result<Option<DeadLetter>, Error> {
        Ok(self.list(1).await?.pop())
    }

    /// Returns the dead letters that this session has not returned yet, at most `limit`, and settles none of them.
    ///
    /// It joins the group, and returns when no dead letter has come for 2 seconds, apart from those that were written since the
    /// call, as their headers tell; a backend that has assigned no partition to this session, as when another session has them
    /// all, is waited for at most 30 seconds.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the transport does not answer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no dead letter.
    pub async fn list(&mut self, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let began = self.shared.clock.wall();
        let patience = Instant::now() + ASSIGNED;
        let mut quiet = Instant::now() + QUIET;
        while self.received.len() < limit {
            let room = (limit - self.received.len()).min(ROOM);
            match timeout_at(quiet.min(patience), self.receive(room)).await {
                Ok(received) => {
                    let new = self.received.len() - received?;
                    let mut new = self.received.range(new..);
                    // The dead letters of tasks that fail all the time would come without end.
                    if new.any(|(_, record)| !is_written_since(record, began)) {
                        quiet = Instant::now() + QUIET;
                    }
                }
                Err(_) if Instant::now() >= patience || self.is_assigned() => break,
                Err(_) => quiet = Instant::now() + QUIET,
            }
        }
        let count = limit.min(self.received.len());
        Ok((0..count).filter_map(|_| self.take()).collect())
    }

    /// Releases the dead letters that are neither replayed nor discarded, also those that the caller still has, and leaves the
    /// group.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the transport does not answer.
    pub async fn close(self) -> Result<(), Error> {
        drop(self.session);
        self.subscription.close().await
    }

    /// Receives dead letters, and forgets those that the session knows: a rebalance may deliver them again. Returns the number of
    /// the others.
    async fn receive(&mut self, records: usize) -> Result<usize, Error> {
        let room = Room::records(records);
        let before = self.received.len();
        for delivery in self.subscription.receive(room).await? {
            let Delivery {
                record,
                origin,
                ticket,
                ..
            } = delivery;
            let place = (record.topic.clone(), origin);
            if self.session.0.hold(place.clone(), ticket) {
                self.received.push_back((place, record));
            }
        }
        Ok(self.received.len() - before)
    }

    fn take(&mut self) -> Option<DeadLetter> {
        let (place, record) = self.received.pop_front()?;
        let session = Arc::clone(&self.session.0);
        let shared = Arc::clone(&self.shared);
        Some(DeadLetter::new(shared, session, place, record))
    }

    /// Says whether the backend has assigned partitions and can read them.
    fn is_assigned(&self) -> bool {
        let health = self.subscription.health();
        !health.assigned.is_empty() && health.held.is_empty()
    }
}

/// Says whether a dead letter was written since this time of day, as far as its header tells.
fn is_written_since(record: &Record, began: Timestamp) -> bool {
    // Independent of the reader's clock.
    let ever = Timestamp::from_millis(u64::MAX);
    let failed = headers::passed(record, headers::LAST_FAILED, ever);
    failed.is_some_and(|failed| failed >= began)
}

impl Session {
    /// Holds the ticket of a dead letter. Says whether the dead letter is new to the session.
    pub(crate) fn hold(&self, place: Place, ticket: Ticket) -> bool {
        let mut open = self.open();
        let Some(tickets) = open.as_mut() else {
            drop(open);
            let _ = ticket.release(None);
            return false;
        };
        let before = tickets.insert(place, ticket);
        drop(open);
        let is_new = before.is_none();
        let _ = before.map(|before| before.release(None));
        is_new
    }

    /// Takes the ticket of a dead letter, to settle it.
    pub(crate) fn take(&self, place: &Place) -> Result<Ticket, Error> {
        let mut open = self.open();
        let ticket = open.as_mut().and_then(|tickets| tickets.remove(place));
        ticket.ok_or(Error::Lost)
    }

    fn close(&self) {
        let tickets = self.open().take().unwrap_or_default();
        // The latest first, so that they keep their order.
        for ticket in tickets.into_values().rev() {
            let _ = ticket.release(None);
        }
    }

    fn open(&self) -> MutexGuard<'_, Option<BTreeMap<Place, Ticket>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Session {
    fn default() -> Self {
        Self(Mutex::new(Some(BTreeMap::new())))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}
