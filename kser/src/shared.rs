use std::fmt;
use std::sync::Arc;

use kser_core::log::LogOptions;
use kser_core::sequencing::{Effect, Transition};
use kser_core::{
    Clock, Description, Error, IdSource, Interest, Mode, Name, NotPublished, Record, RunId,
    StateStore, Subscription, Topic, TopicSpec, Transport,
};
use tokio::sync::OnceCell;

use crate::engine::event_watcher::{EventWatcher, WatchedRun};
use crate::engine::records::RecordWriter;
use crate::engine::stamps::Stamps;
use crate::engine::store_clock::StoreClock;
use crate::failures::Failures;
use crate::lost_records::LostRecords;
use crate::observer::{ClientObserver, Observation, Observer};
use crate::presence::PresencePlace;
use crate::traces::Tracer;
use crate::unread::UnreadTopics;

/// The parts of a client that its producers, consumers and handles have in common.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) store: Option<Arc<dyn StateStore>>,
    pub(crate) store_clock: StoreClock,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) stamps: Arc<Stamps>,
    pub(crate) log: Arc<LogOptions>,
    pub(crate) writer: RecordWriter,
    pub(crate) mode: Mode,
    pub(crate) observer: Option<Arc<dyn ClientObserver>>,
    pub(crate) tracer: Option<Arc<dyn Tracer>>,
    pub(crate) description: Description,
    /// Where consumers announce themselves; `None` where the backends keep no announcements.
    pub(crate) presence: Option<PresencePlace>,
    pub(crate) event_watcher: Arc<EventWatcher>,
    /// The consumers, as the waiters see them.
    pub(crate) failures: Arc<Failures>,
    pub(crate) lost_records: Arc<LostRecords>,
    /// Set once the topic of the events exists, on a transport that makes topics at their first use.
    pub(crate) ready: Arc<OnceCell<()>>,
    /// The topics that are written, on a transport that knows whether they are read.
    pub(crate) unread: Arc<UnreadTopics>,
}

impl Shared {
    /// Returns the store, or the error that says that `verb` needs one.
    pub(crate) fn store(&self, verb: &'static str) -> Result<&Arc<dyn StateStore>, Error> {
        self.store.as_ref().ok_or(Error::NeedsStore { verb })
    }

    /// Says whether the state of a run is stored unless its launch says otherwise.
    pub(crate) fn stores_runs(&self) -> bool {
        self.mode == Mode::Stored
    }

    /// Returns a stamp for the next write of a run.
    pub(crate) fn next_stamp(&self) -> u64 {
        self.stamps.next(&*self.ids)
    }

    pub(crate) async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished> {
        if records.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.ready().await {
            return Err(none_of(records.len(), error));
        }
        self.note_written(&records);
        let Some(observer) = &self.observer else {
            return self.transport.publish(records).await;
        };
        let (records_in_all, began) = (records.len(), self.clock.now());
        let published = self.transport.publish(records).await;
        let failed = published.as_ref().err().map_or(0, |not| not.failed.len());
        observer.observe(&Observation::Published {
            published: records_in_all.saturating_sub(failed),
            failed,
            duration: self.clock.now().since(began),
        });
        published
    }

    /// Tells the observer of the client, if it has one.
    pub(crate) fn observe(&self, observation: &Observation<'_>) {
        if let Some(observer) = &self.observer {
            observer.observe(observation);
        }
    }

    /// Returns the observer of the client, if it has one.
    pub(crate) fn observer(&self) -> Option<&dyn Observer> {
        let observer = self.observer.as_deref();
        observer.map(|observer| -> &dyn Observer { observer })
    }

    /// Returns the tracer of the client, if it has one.
    pub(crate) fn tracer(&self) -> Option<&dyn Tracer> {
        self.tracer.as_deref()
    }

    /// Tells the observer of the end of a run, if the transition is one.
    pub(crate) fn observe_change(&self, operation: &Name, after: &Transition) {
        let Some(observer) = &self.observer else {
            return;
        };
        for effect in &after.effects {
            if let Effect::StatusChanged { to, .. } = effect
                && to.is_terminal()
            {
                observer.observe(&Observation::RunEnded {
                    operation,
                    status: *to,
                });
            }
        }
    }

    /// Looks for topics of these records that no consumer reads, where the transport can tell.
    pub(crate) fn note_written(&self, records: &[Record]) {
        if self.description.unread.is_some() {
            self.unread.note(&self.transport, &self.failures, records);
        }
    }

    /// Creates the topic of the events as one that only observers read, on a transport that makes topics at their first use.
    /// A topic that the transport made by itself would keep the events for ever.
    pub(crate) async fn ready(&self) -> Result<(), Error> {
        if !self.description.forgets {
            return Ok(());
        }
        let ensure = || async {
            let events = TopicSpec::observed(self.writer.routes.events()?);
            self.transport.ensure_topics(&[events]).await
        };
        self.ready.get_or_try_init(ensure).await.map(|_| ())
    }

    /// Watches a run from now on, through the subscription to the events of all runs.
    pub(crate) async fn watch(&self, run: &RunId) -> Result<WatchedRun, Error> {
        self.event_watcher
            .watch(run, &self.writer.payloads, || self.subscribe_to_events())
            .await
    }

    async fn subscribe_to_events(&self) -> Result<Box<dyn Subscription>, Error> {
        self.ready().await?;
        let interest = Interest::everything(vec![self.writer.routes.events()?]);
        self.transport.subscribe(interest).await
    }

    pub(crate) fn topic_of(&self, entrypoint: &Name) -> Result<Topic, Error> {
        self.writer.routes.topic(entrypoint)
    }
}

/// None of the records is published, for one reason.
fn none_of(records: usize, error: Error) -> NotPublished {
    if records == 1 {
        return NotPublished::new(vec![(0, error)]);
    }
    let error = Arc::new(error);
    let failed = (0..records).map(|index| {
        let error = Error::Backend {
            backend: "making the topic of the events",
            temporary: error.is_temporary(),
            source: Arc::clone(&error).into(),
        };
        (index, error)
    });
    NotPublished::new(failed.collect())
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("transport", &self.transport)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
