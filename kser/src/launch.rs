use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kser_core::sequencing::{Event, PlannedStep, Progress, StepWindow, Transition, carried};
use kser_core::store::{Inserted, NewRun};
use kser_core::{Error, Metadata, Mode, Name, Object, Plan, Raw, Record, RunId, Step, Topic};
use serde::Serialize;
use tracing::{Instrument, Span};

use crate::engine::digest::digest;
use crate::engine::run_change::RunChange;
use crate::engine::run_ref::RunRef;
use crate::engine::store_clock::unknown_answer;
use crate::engine::stored::{Stored, run_ref};
use crate::launch_records::{LaunchRecords, publish_first, tell_later};
use crate::observer::Observation;
use crate::publish::maybe_sent;
use crate::run::Run;
use crate::sealed_store::SealedStore;
use crate::shared::Shared;
use crate::traces::send_span;

/// An operation that is launched when this is awaited.
#[must_use = "nothing is launched until this is awaited"]
#[derive(Debug)]
pub struct Launch {
    shared: Arc<Shared>,
    name: Name,
    what: What,
    id: Option<RunId>,
    metadata: Result<Metadata, Error>,
    mode: Option<Mode>,
    step_events: bool,
}

#[derive(Debug)]
enum What {
    Operation(Result<Object, Error>),
    Steps(Vec<Step>),
}

/// The start of a run: the record that is published, and the state that the store keeps, if there is a store.
struct Begin {
    progress: Progress,
    plan: Vec<PlannedStep>,
    /// The topic of the record that makes the run go on.
    topic: Topic,
    launch: bytes::Bytes,
    digest: String,
    records: Vec<Record>,
    span: Span,
}

impl Launch {
    pub(crate) fn operation(
        shared: Arc<Shared>,
        name: Name,
        params: Result<Object, Error>,
    ) -> Self {
        Self::new(shared, name, What::Operation(params))
    }

    pub(crate) fn steps(shared: Arc<Shared>, name: Name, steps: Vec<Step>) -> Self {
        Self::new(shared, name, What::Steps(steps))
    }

    fn new(shared: Arc<Shared>, name: Name, what: What) -> Self {
        Self {
            shared,
            name,
            what,
            id: None,
            metadata: Ok(Metadata::default()),
            mode: None,
            step_events: false,
        }
    }

    /// Gives the run this id, which is not empty; random unless set. Where the state is stored, launching one id twice is one
    /// run; where it is carried, it is two.
    pub fn with_id(mut self, id: impl Into<RunId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Adds a value to the metadata, which the message of every step has.
    pub fn with_metadata<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        self.metadata = self.metadata.and_then(|mut metadata| {
            metadata.set(name, Raw::new(value)?);
            Ok(metadata)
        });
        self
    }

    /// Sets whether the state of the run is stored or carried. Defaults to the mode of the client.
    pub const fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Asks for one event for each step, beside those for changes of status.
    pub const fn with_step_events(mut self) -> Self {
        self.step_events = true;
        self
    }

    /// Makes the run without launching it, for a [`StateStore`](crate::backend::StateStore) to insert, such as one that does so in
    /// a transaction of the program's own. The records that make it begin are outputs that are due at once: a consumer that has
    /// the store publishes them.
    ///
    /// # Errors
    ///
    /// As awaiting the launch, but for those of the store and of the transport; [`Error::NeedsStore`] for a run whose state is
    /// carried.
    pub fn prepare(self) -> Result<NewRun, Error> {
        let shared = Arc::clone(&self.shared);
        let (run, begin) = self.begin()?;
        if !run.is_stored() {
            return Err(Error::NeedsStore {
                verb: "a launch in a transaction",
            });
        }
        let store = shared.store("a launch in a transaction")?;
        let (new, records) = begin.into_rows(&run);
        let new = new.with_outputs(records);
        let new = new.with_outputs_due_in(Duration::ZERO);
        SealedStore::seal(store, &shared.writer.payloads, new)
    }

    /// Launches the operation in a transaction of the program's own, in the database of the store: the operation begins exactly if
    /// the transaction commits. A consumer that has the store begins it with its next sweep, also if this process ends right after
    /// the commit: within about a second if no sweep was made in the last ten, otherwise after these ten seconds.
    ///
    /// Until the commit the handle answers [`Error::UnknownRun`].
    ///
    /// # Errors
    ///
    /// [`Error::NeedsStore`] without a store, [`Error::Invalid`] for a transaction on another database than the store's, [`Error::Conflict`]
    /// when the store has a run of this id with other content. Roll the transaction back after an error.
    ///
    /// # Cancel safety
    ///
    /// Roll the transaction back after dropping the future.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub async fn launch_in(
        self,
        transaction: &mut impl kser_sql::RunTransaction,
    ) -> Result<Run, Error> {
        let shared = Arc::clone(&self.shared);
        let new = self.prepare()?;
        let store = shared.store("a launch in a transaction")?;
        let id = shared.writer.store.clone();
        let id = id.ok_or(Error::NeedsStore {
            verb: "a launch in a transaction",
        })?;
        let (run, name) = (new.id.clone(), new.name.clone());
        let kept = store.watch(&run);
        let inserted = transaction.insert_run(&id, new, shared.store_clock.now());
        match inserted.await? {
            Inserted::New | Inserted::Same(_) => {}
            Inserted::Other => return Err(Error::Conflict { id: run }),
            _ => return Err(unknown_answer()),
        }
        Ok(Run::stored(shared, run, name, kept))
    }

    /// Makes the start of the run.
    fn begin(self) -> Result<(RunRef, Begin), Error> {
        let shared = &self.shared;
        let mode = self.mode.unwrap_or(shared.mode);
        if mode == Mode::ExactlyOnce {
            return Err(Error::Unsupported {
                what: "carried state, exactly once,".to_owned(),
                hint: "exactly-once delivery is a setting of the transport, as `kafka://…?delivery=exactly-once`, and the mode stays as it is; or name a state store".to_owned(),
            });
        }
        let metadata = self.metadata?;
        let foreign = metadata.foreign_kser() || metadata.newer_version().is_some();
        if foreign || metadata.envelope().is_some() {
            return Err(Error::Invalid {
                what: "metadata `kser`".to_owned(),
                reason: "the name belongs to kser: an operation cannot be launched with it"
                    .to_owned(),
            });
        }
        if self.id.as_ref().is_some_and(|id| id.as_str().is_empty()) {
            return Err(Error::Invalid {
                what: "the id of an operation".to_owned(),
                reason: "it is empty".to_owned(),
            });
        }
        if let (Some(id), Mode::Stored) = (&self.id, mode) {
            NewRun::check_id(id)?;
        }
        let mut run = RunRef {
            id: self.id.unwrap_or_else(|| shared.ids.next_id().into()),
            name: self.name,
            mode,
            metadata,
            others: None,
            home: None,
        };
        let span = trace(shared, &mut run);
        let mut begin = match self.what {
            What::Operation(params) => ask(shared, &run, params?, self.step_events)?,
            What::Steps(steps) => build(shared, &mut run, steps, self.step_events)?,
        };
        begin.span = span;
        Ok((run, begin))
    }

    async fn go(self) -> Result<Run, Error> {
        let shared = Arc::clone(&self.shared);
        let (run, begin) = self.begin()?;
        let span = begin.span.clone();
        let launched = match run.is_stored() {
            true => launch_stored(&shared, &run, begin).instrument(span).await,
            false => launch_carried(&shared, &run, begin).instrument(span).await,
        };
        if launched.is_ok() {
            let operation = &run.name;
            shared.observe(&Observation::RunLaunched { operation });
        }
        launched
    }
}

impl Begin {
    /// Makes the rows of the run, and the records that make it begin.
    fn into_rows(self, run: &RunRef) -> (NewRun, Vec<Record>) {
        let (id, name) = (run.id.clone(), run.name.clone());
        let new = NewRun::new(
            id,
            name,
            self.topic,
            self.launch,
            self.digest,
            self.progress,
        );
        (new.with_plan(self.plan), self.records)
    }
}

/// Makes the span of the launch, and has all messages of the run carry its context.
fn trace(shared: &Shared, run: &mut RunRef) -> Span {
    let Ok(topic) = shared.topic_of(&run.name) else {
        return Span::none();
    };
    let (named, id) = ((&run.name, &run.id.clone().into()), Some(&run.id));
    send_span(shared.tracer(), &topic, named, id, &mut run.metadata)
}

/// Makes the start of a run of an operation: a message for the consumer that has the operation and builds its steps.
fn ask(shared: &Shared, run: &RunRef, params: Object, step_events: bool) -> Result<Begin, Error> {
    let now = now(shared, run);
    let progress = Progress::launched(now).with_step_events(step_events);
    let progress = progress.with_stamp(shared.next_stamp());
    let digest = digest(&run.name, &params.compact());
    let launch = shared.writer.launch(run, &progress, params)?;
    let record = shared.writer.launch_record(run, launch.clone())?;
    shared.writer.launch_fits(run, &record)?;
    Ok(Begin {
        topic: record.topic.clone(),
        records: vec![record],
        progress,
        plan: Vec::new(),
        launch,
        digest,
        span: Span::none(),
    })
}

/// The first step of a run whose steps are known.
fn build(
    shared: &Shared,
    run: &mut RunRef,
    steps: Vec<Step>,
    step_events: bool,
) -> Result<Begin, Error> {
    // Before anything is made of them.
    let limit = shared.writer.limits.steps as usize;
    if steps.is_empty() {
        return Err(Error::Invalid {
            what: format!("operation {}", run.name),
            reason: "Nothing to do, empty operation !".to_owned(),
        });
    }
    if steps.len() > limit {
        return Err(Error::TooLarge {
            what: "number of steps of the operation".into(),
            size: steps.len(),
            limit,
        });
    }
    let plan = Plan::of(run.id.clone(), run.name.clone(), steps)?.into_steps();
    run.home = shared.writer.home_of(&run.name, &plan)?;
    let now = now(shared, run);
    let before = Progress::launched(now).with_step_events(step_events);
    let after = apply_build(&before, &plan, now)?.with_stamp(shared.next_stamp());
    let rest = plan
        .get(1..)
        .filter(|rest| !rest.is_empty() && !run.is_stored());
    let rest = rest.map(|rest| carried::encode(&run.id, rest));
    let moved = RunChange {
        before: &before,
        after: &after,
        near: StepWindow {
            current: None,
            following: plan.first(),
        },
        launch: None,
        rest: rest.as_ref(),
    };
    let records = shared.writer.effects(run, moved, now)?;
    let topic = match plan.first() {
        Some(first) => shared.writer.awaited(run, first)?,
        None => shared.writer.routes.topic(&run.name)?,
    };
    let given = carried::encode(&run.id, &plan);
    Ok(Begin {
        launch: shared.writer.launch(run, &before, Object::default())?,
        digest: digest(&run.name, given.as_str()),
        topic,
        progress: after.progress,
        plan,
        records,
        span: Span::none(),
    })
}

/// Takes a run over its build, which was done here.
fn apply_build(
    before: &Progress,
    plan: &[PlannedStep],
    now: kser_core::Timestamp,
) -> Result<Transition, Error> {
    let near = StepWindow {
        current: None,
        following: plan.first(),
    };
    let step = kser_core::sequencing::StepKey {
        position: 0,
        uuid: "".into(),
        entrypoint: "".into(),
    };
    let started = Event::Started {
        step,
        lease: None,
        alone: true,
        seen: 0,
    };
    let refused = |source| Error::Rejected {
        id: "".into(),
        source,
    };
    let started = kser_core::sequencing::apply(before, near, started, now).map_err(refused)?;
    let built = Event::Built {
        attempt: started.progress.attempts(),
        steps: u32::try_from(plan.len()).unwrap_or(u32::MAX),
    };
    kser_core::sequencing::apply(&started.progress, near, built, now).map_err(refused)
}

fn now(shared: &Shared, run: &RunRef) -> kser_core::Timestamp {
    match run.is_stored() {
        true => shared.store_clock.now(),
        false => shared.clock.now(),
    }
}

/// Keeps the run, and then publishes: an id exists before its message does.
async fn launch_stored(shared: &Arc<Shared>, run: &RunRef, begin: Begin) -> Result<Run, Error> {
    let store = shared.store("an operation whose state is stored")?;
    let (mut new, records) = begin.into_rows(run);
    // Of a run that is to be built, the launch message is all that follows, which a sweep writes anew.
    let kept_with = (!new.plan.is_empty()).then(|| new.progress.version());
    if kept_with.is_some() {
        new.outputs.clone_from(&records);
    }
    let kept = store.watch(&run.id);
    // A row whose answer got lost is found by a sweep.
    let inserted = store.insert(new).await;
    let inserted = inserted.map_err(|error| maybe_sent(error, &run.id.clone().into()))?;
    match shared.store_clock.observe(inserted) {
        Inserted::New => {
            publish_first(Stored { shared, store }, run, kept_with, records).await?;
        }
        Inserted::Same(_) => again(Stored { shared, store }, run).await?,
        Inserted::Other => return Err(Error::Conflict { id: run.id.clone() }),
        _ => return Err(unknown_answer()),
    }
    Ok(Run::stored(
        Arc::clone(shared),
        run.id.clone(),
        run.name.clone(),
        kept,
    ))
}

/// A second launch of a run: its first record may be missing. It is published as the first launch had it.
async fn again(stored: Stored<'_>, run: &RunRef) -> Result<(), Error> {
    let info = stored.store.run(&run.id).await?;
    let info = info.ok_or_else(|| Error::UnknownRun { id: run.id.clone() })?;
    let run = run_ref(&info)?;
    let event = |_: &_| Event::Launched;
    let view = stored.view(&run.id).await?;
    let launched = stored.carry_out(&run, view, Some(&info.launch), None, event, |_, _| Ok(()));
    match launched.await?.published {
        Ok(()) => Ok(()),
        Err(not) => Err(maybe_sent(not.into_error(), &run.id.clone().into())),
    }
}

/// Publishes, with the event_watcher in place before.
async fn launch_carried(shared: &Arc<Shared>, run: &RunRef, begin: Begin) -> Result<Run, Error> {
    let watched = shared.watch(&run.id).await?;
    let asks = LaunchRecords::of(shared, &begin.records)?;
    let published = shared.publish(begin.records.clone()).await;
    if let Err(not) = &published {
        let news = asks.news(not);
        tell_later(shared, run, &begin.records, news);
    }
    asks.launched(published, run)?;
    Ok(Run::carried(
        Arc::clone(shared),
        run.id.clone(),
        run.name.clone(),
        watched,
    ))
}

impl IntoFuture for Launch {
    type Output = Result<Run, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.go())
    }
}
