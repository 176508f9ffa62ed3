//! Dead letters by cause, read in the background: a page of 100,000 letters does not wait for all of them, and says how far they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kser::run::Timestamp;
use kser_ops::{CauseCounter, Causes, LetterFilter, Ops, OpsError, TopicLine};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// The time for which a page waits for letters that are read for the first time.
const PATIENCE: Duration = Duration::from_millis(60);

/// The time for which the causes that were read are shown before they are read again.
const FRESH: Duration = Duration::from_secs(2);

/// The most topics whose causes are kept.
const KEPT: usize = 64;

/// The causes of a topic, or of all topics, as far as they were read.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    /// The time at which the reading began.
    pub(crate) at: Timestamp,
    pub(crate) causes: Causes,
    /// The topics with their dead letters.
    pub(crate) topics: Vec<TopicLine>,
    /// The number of letters that there are to read, as it was at the start.
    pub(crate) of: u64,
    /// Whether all are read.
    pub(crate) is_whole: bool,
}

/// The readings that go on, and the last results. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readings {
    topics: Arc<Mutex<BTreeMap<Option<String>, Arc<Reading>>>>,
}

#[derive(Debug, Default)]
struct Reading {
    state: Mutex<State>,
    /// Tells each page that waits of progress.
    told: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The whole result before, or the part that is read of the first one.
    read: Option<Read>,
    error: Option<Arc<OpsError>>,
    begun: Option<Instant>,
    task: Option<AbortOnDrop>,
}

/// A task that ends with its owner.
#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves the state whole: it is replaced at once.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Readings {
    /// Returns the causes of a topic, or of all topics, as far as they are read, and has them read again if they are old.
    ///
    /// # Errors
    ///
    /// The error of the last reading, if there is no result.
    pub(crate) async fn causes(&self, ops: &Ops, topic: Option<&str>) -> Result<Read, OpsError> {
        let reading = self.of(topic);
        reading.begin(ops, topic);
        let _ = timeout(PATIENCE, reading.first()).await;
        reading.result()
    }

    fn of(&self, topic: Option<&str>) -> Arc<Reading> {
        let mut topics = locked(&self.topics);
        let topic = topic.map(str::to_owned);
        if topics.len() >= KEPT && !topics.contains_key(&topic) {
            topics.pop_last();
        }
        Arc::clone(topics.entry(topic).or_default())
    }
}

impl Reading {
    /// Begins to read, unless letters are read now or were a moment ago.
    fn begin(self: &Arc<Self>, ops: &Ops, topic: Option<&str>) {
        let mut state = locked(&self.state);
        let is_fresh = state.begun.is_some_and(|begun| begun.elapsed() < FRESH);
        let goes_on = state
            .task
            .as_ref()
            .is_some_and(|task| !task.0.is_finished());
        if is_fresh || goes_on {
            return;
        }
        state.begun = Some(Instant::now());
        let (ops, topic) = (ops.clone(), topic.map(str::to_owned));
        // The task must not keep the reading: it ends with its last owner.
        let reading = Arc::downgrade(self);
        let task = tokio::spawn(async move {
            let tell = |read: Result<Read, OpsError>| {
                let Some(reading) = reading.upgrade() else {
                    return;
                };
                reading.set(read);
            };
            if let Err(error) = read(&ops, topic.as_deref(), &tell).await {
                tell(Err(error));
            }
        });
        state.task = Some(AbortOnDrop(task));
    }

    fn set(&self, read: Result<Read, OpsError>) {
        let mut state = locked(&self.state);
        match read {
            Ok(read) => {
                state.error = None;
                let is_first = state.read.as_ref().is_none_or(|before| !before.is_whole);
                // A whole result is not replaced by a part of the next one.
                if read.is_whole || is_first {
                    state.read = Some(read);
                }
            }
            Err(error) => state.error = Some(Arc::new(error)),
        }
        drop(state);
        self.told.notify_waiters();
    }

    /// Waits until there is a whole result, or an error.
    async fn first(&self) {
        loop {
            let told = self.told.notified();
            {
                let state = locked(&self.state);
                let is_whole = state.read.as_ref().is_some_and(|read| read.is_whole);
                let goes_on = state
                    .task
                    .as_ref()
                    .is_some_and(|task| !task.0.is_finished());
                if (is_whole && !goes_on) || state.error.is_some() {
                    return;
                }
            }
            told.await;
        }
    }

    fn result(&self) -> Result<Read, OpsError> {
        let state = locked(&self.state);
        match (&state.read, &state.error) {
            (Some(read), _) => Ok(read.clone()),
            (None, Some(error)) => Err(again(error)),
            (None, None) => Ok(Read {
                at: Timestamp::default(),
                causes: CauseCounter::default().causes(),
                topics: Vec::new(),
                of: 0,
                is_whole: false,
            }),
        }
    }
}

/// Says an error again, for another page.
fn again(error: &OpsError) -> OpsError {
    match error {
        OpsError::NotFound { what } => OpsError::NotFound { what: what.clone() },
        OpsError::Needs {
            what,
            part,
            reason,
            temporary,
        } => OpsError::Needs {
            what,
            part,
            reason: reason.clone(),
            temporary: *temporary,
        },
        other => OpsError::Needs {
            what: "looking at dead letters",
            part: "Kafka",
            reason: other.to_string(),
            temporary: other.is_temporary(),
        },
    }
}

/// Reads all letters, and tells how far they are after each page.
async fn read(
    ops: &Ops,
    topic: Option<&str>,
    tell: &(impl Fn(Result<Read, OpsError>) + Send + Sync),
) -> Result<(), OpsError> {
    let at = ops.now();
    let mut view = ops.letters(topic, LetterFilter::default()).await?;
    let mut topics = ops.topics().await?;
    topics.retain(|line| line.letters.is_some());
    let of = topics
        .iter()
        .filter(|line| topic.is_none_or(|topic| is_called(line, topic)));
    let of = of
        .filter_map(|line| Some(line.letters.as_ref()?.waiting))
        .sum();
    let mut counter = CauseCounter::default();
    loop {
        let page = view.next_page().await?;
        let is_whole = page.is_none();
        page.iter()
            .flatten()
            .for_each(|letter| counter.count(letter));
        tell(Ok(Read {
            at,
            causes: counter.causes(),
            topics: topics.clone(),
            of,
            is_whole,
        }));
        if is_whole {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

/// Says whether a topic has this name, with or without the prefix.
fn is_called(line: &TopicLine, name: &str) -> bool {
    line.topic == name
        || line
            .topic
            .strip_suffix(name)
            .is_some_and(|rest| rest.ends_with('.'))
}
