//! A store that fails on demand.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kser::Error;
use kser::backend::sequencing::{Event, Owner, Progress, Revision, StepKey, StepWindow, apply};
use kser::backend::store::{
    DueRun, Found, Inserted, NewRun, Output, OutputId, Swapped, Timed, Watch, Write,
};
use kser::backend::{StateStore, StoreId};
use kser::consumer::{Instance, StoreHealth};
use kser::message::Topic;
use kser::operation::PlannedStep;
use kser::presence::PresenceStore;
use kser::run::{Attempt, Cursor, Page, RunFilter, RunId, RunInfo, RunSummary};

/// The version of a run that was launched with its steps.
const BUILT: u64 = 3;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(dead_code, reason = "not every test needs all of them")]
pub(crate) enum Loss {
    Nothing,
    /// Runs are inserted, and nobody hears of it.
    InsertAnswers,
    /// Nothing is written.
    Swaps,
    /// Nothing is written, and trying again does not help, as after a change of the password.
    ForGood,
    /// Of so many swaps one is written and not answered; its repetition is.
    SwapAnswers {
        every: usize,
    },
    /// A swap is written and not answered, and after it nothing is written.
    SwapAnswersAndThenAll,
    /// A sweep publishes the run again before the first swap, the second swap is written and not answered, and after it
    /// nothing is written.
    NudgeAndThenSwapAnswers,
    /// What is written of the run `stuck` is not answered, ever.
    Stuck,
    /// Of the runs `bad ...` nothing is written.
    Bad,
    /// Of the runs `bad ...` nothing is written, and each attempt takes ten seconds.
    BadAndSlow,
    /// Somebody writes before a build is written, once.
    Race,
    /// Outputs of a step cannot be marked as relayed, once.
    Relayed,
    /// Whoever waits for a run is woken ten times in a second.
    Wakes,
    /// Another worker ends a step before the end of an attempt is written, and sends a note; once.
    StepToAnother,
    /// The lease of an attempt is renewed before its end is written, and after that nothing can be read.
    RenewalAndThenReads,
    /// Nothing can be read.
    Reads,
    /// One call of a run is lost, see [`Deaf::lose_call`].
    Call(CallLoss),
}

/// The loss of one call.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(dead_code, reason = "not every test needs all of them")]
pub(crate) enum CallLoss {
    /// The call is not carried out.
    Question,
    /// The call is carried out, and not answered.
    Answer,
}

#[derive(Debug, Clone)]
pub(crate) struct Deaf {
    inner: Arc<dyn StateStore>,
    loss: Arc<Mutex<Loss>>,
    writes: Arc<AtomicUsize>,
    /// The calls that insert, read, write or await runs.
    calls: Arc<AtomicUsize>,
    /// The calls until the one that is lost.
    left: Arc<AtomicI64>,
    sweeps: Arc<AtomicUsize>,
    reads: Arc<AtomicUsize>,
    /// The versions that were written and not answered.
    lost: Arc<Mutex<BTreeSet<(RunId, u64)>>>,
    presence: Option<Arc<dyn PresenceStore>>,
}

impl Deaf {
    pub(crate) fn new(inner: impl StateStore) -> Self {
        Self {
            inner: Arc::new(inner),
            loss: Arc::new(Mutex::new(Loss::Nothing)),
            writes: Arc::default(),
            calls: Arc::default(),
            left: Arc::default(),
            sweeps: Arc::default(),
            reads: Arc::default(),
            lost: Arc::default(),
            presence: None,
        }
    }

    /// Keeps announcements elsewhere.
    pub(crate) fn with_presence(mut self, presence: impl PresenceStore) -> Self {
        self.presence = Some(Arc::new(presence));
        self
    }

    /// Counts the swaps that were asked for.
    #[allow(dead_code, reason = "not every test needs it")]
    pub(crate) fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }

    /// Counts the calls of `outputs_due`, of which each sweep makes at least one.
    #[allow(dead_code, reason = "not every test needs it")]
    pub(crate) fn sweeps(&self) -> usize {
        self.sweeps.load(Ordering::SeqCst)
    }

    /// Counts the calls that insert, read, write or await runs.
    #[allow(dead_code, reason = "not every test needs it")]
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Loses the call with this number from here on, counted from 0.
    #[allow(dead_code, reason = "not every test needs it")]
    pub(crate) fn lose_call(&self, number: i64, loss: CallLoss) {
        self.left.store(number, Ordering::SeqCst);
        self.lose(Loss::Call(loss));
    }

    /// Says whether the call that was to be lost was lost.
    #[allow(dead_code, reason = "not every test needs it")]
    pub(crate) fn has_lost_call(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }

    /// Makes a call, unless it is the one that is lost.
    async fn call<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let loss = *self.loss.lock().unwrap();
        let loss = match loss {
            Loss::Call(loss) if self.left.fetch_sub(1, Ordering::SeqCst) == 0 => loss,
            _ => return call.await,
        };
        if loss == CallLoss::Answer {
            let _ = call.await;
        }
        Err(super::failed(true))
    }

    /// Counts the reads of single runs and steps.
    #[allow(dead_code, reason = "not every test needs it")]
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    pub(crate) fn lose(&self, loss: Loss) {
        *self.loss.lock().unwrap() = loss;
    }

    fn loses(&self, loss: Loss) -> bool {
        *self.loss.lock().unwrap() == loss
    }

    /// Renews the lease of a build or a step, as a worker does that was about to when its handler ended.
    async fn renew(&self, id: &RunId) -> Result<(), Error> {
        let read = self.inner.read(id).await?;
        let (progress, now) = (read.value.into_progress().unwrap(), read.now);
        let position = progress.position();
        let here = match position {
            0 => None,
            _ => self.inner.step(id, position).await?,
        };
        let of_build = || StepKey {
            position,
            uuid: id.as_str().into(),
            entrypoint: "".into(),
        };
        let event = Event::Renewed {
            step: here.as_ref().map_or_else(of_build, |here| here.key.clone()),
            attempt: progress.attempts(),
            until: now + Duration::from_secs(60),
        };
        let window = StepWindow {
            current: here.as_ref(),
            following: None,
        };
        let renewed = apply(&progress, window, event, now).unwrap();
        let write = Write::new(renewed.progress);
        let _ = self.inner.swap(id, progress.revision(), write).await?;
        Ok(())
    }
}

impl Deaf {
    /// Publishes a run again that does not move, as a sweep does.
    async fn nudge(&self, id: &RunId) -> Result<(), Error> {
        let progress = self.inner.read(id).await?.value.into_progress().unwrap();
        let here = self.inner.step(id, progress.position()).await?;
        let window = StepWindow {
            current: here.as_ref(),
            following: None,
        };
        let due = progress.check_at().unwrap();
        let nudged = apply(&progress, window, Event::Swept, due).unwrap();
        let write = Write::new(nudged.progress);
        let _ = self.inner.swap(id, progress.revision(), write).await?;
        Ok(())
    }

    /// Ends the step at which a run stands, as the worker does whose attempt began since, and keeps an output of it.
    async fn end_step(&self, id: &RunId, theirs: &Write) -> Result<(), Error> {
        let progress = self.inner.read(id).await?.value.into_progress().unwrap();
        let position = progress.position();
        let here = self.inner.step(id, position).await?.unwrap();
        let next = self.inner.step(id, position + 1).await?;
        let window = StepWindow {
            current: Some(&here),
            following: next.as_ref(),
        };
        let event = Event::Ended {
            step: here.key.clone(),
            attempt: progress.attempts(),
            outcome: kser::Outcome::text("of another"),
            retry_at: None,
        };
        let ended = apply(&progress, window, event, progress.updated()).unwrap();
        let mut write = Write::new(ended.progress);
        let mut output = theirs.outputs.first().unwrap().clone();
        let payload = output.payload.unwrap();
        let text = String::from_utf8(payload.to_vec()).unwrap();
        output.payload = Some(text.replace("\"sent\"", "\"of another\"").into());
        write.outputs = vec![output];
        let _ = self.inner.swap(id, progress.revision(), write).await?;
        Ok(())
    }
}

#[async_trait::async_trait]
impl StateStore for Deaf {
    async fn insert(&self, run: NewRun) -> Result<Timed<Inserted>, Error> {
        let inserted = self.call(self.inner.insert(run)).await;
        match self.loses(Loss::InsertAnswers) {
            true => Err(super::failed(true)),
            false => inserted,
        }
    }

    async fn id(&self) -> Result<Timed<StoreId>, Error> {
        self.inner.id().await
    }

    async fn register(&self, instance: &Instance) -> Result<Timed<Owner>, Error> {
        self.inner.register(instance).await
    }

    async fn read(&self, id: &RunId) -> Result<Timed<Found>, Error> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.loses(Loss::Reads) {
            return Err(super::failed(true));
        }
        self.call(self.inner.read(id)).await
    }

    async fn swap(
        &self,
        id: &RunId,
        expected: Revision,
        write: Write,
    ) -> Result<Timed<Swapped>, Error> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        if id.as_str() == "stuck" && self.loses(Loss::Stuck) {
            return std::future::pending().await;
        }
        if id.as_str().starts_with("bad ") && self.loses(Loss::Bad) {
            return Err(super::failed(true));
        }
        if id.as_str().starts_with("bad ") && self.loses(Loss::BadAndSlow) {
            tokio::time::sleep(Duration::from_secs(10)).await;
            return Err(super::failed(true));
        }
        if self.loses(Loss::ForGood) {
            return Err(super::failed(false));
        }
        if self.loses(Loss::Swaps) {
            return Err(super::failed(true));
        }
        if self.loses(Loss::NudgeAndThenSwapAnswers) {
            self.nudge(id).await?;
            let swapped = self.inner.swap(id, expected, write).await;
            self.lose(Loss::SwapAnswersAndThenAll);
            return swapped;
        }
        if write.plan.is_some() && self.loses(Loss::Race) {
            self.lose(Loss::Nothing);
            self.renew(id).await?;
        }
        if write.attempt.is_some() && self.loses(Loss::StepToAnother) {
            self.lose(Loss::Nothing);
            self.end_step(id, &write).await?;
        }
        if write.attempt.is_some() && self.loses(Loss::RenewalAndThenReads) {
            self.lose(Loss::Reads);
            self.renew(id).await?;
        }
        let version = write.progress.version();
        let swapped = self.call(self.inner.swap(id, expected, write)).await;
        let loss = *self.loss.lock().unwrap();
        let mut lost = self.lost.lock().unwrap();
        match loss {
            Loss::SwapAnswers { every }
                if number.is_multiple_of(every) && lost.insert((id.clone(), version)) =>
            {
                Err(super::failed(true))
            }
            Loss::SwapAnswersAndThenAll => {
                self.lose(Loss::Swaps);
                Err(super::failed(true))
            }
            _ => swapped,
        }
    }

    async fn step(&self, id: &RunId, position: u32) -> Result<Option<PlannedStep>, Error> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.loses(Loss::Reads) {
            return Err(super::failed(true));
        }
        self.inner.step(id, position).await
    }

    async fn due(
        &self,
        topic: &Topic,
        waited: Duration,
        limit: usize,
        hold: Duration,
    ) -> Result<Timed<Vec<DueRun>>, Error> {
        self.inner.due(topic, waited, limit, hold).await
    }

    async fn outputs_due(&self, limit: usize, hold: Duration) -> Result<Timed<Vec<Output>>, Error> {
        self.sweeps.fetch_add(1, Ordering::SeqCst);
        self.inner.outputs_due(limit, hold).await
    }

    async fn relayed(&self, outputs: &[OutputId]) -> Result<(), Error> {
        let of_a_step = outputs.iter().any(|output| output.version > BUILT);
        if of_a_step && self.loses(Loss::Relayed) {
            self.lose(Loss::Nothing);
            return Err(super::failed(true));
        }
        self.call(self.inner.relayed(outputs)).await
    }

    async fn changed(&self, id: &RunId, version: u64) -> Result<(), Error> {
        if self.loses(Loss::Wakes) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            return Ok(());
        }
        self.inner.changed(id, version).await
    }

    async fn await_end(&self, id: &RunId) -> Result<Timed<Option<Progress>>, Error> {
        if self.loses(Loss::Wakes) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let Timed { now, value, .. } = self.inner.read(id).await?;
            return Ok(Timed::new(now, value.into_progress()));
        }
        self.call(self.inner.await_end(id)).await
    }

    async fn await_due(&self) -> Result<(), Error> {
        self.inner.await_due().await
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunInfo>, Error> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.run(id).await
    }

    async fn attempts(
        &self,
        id: &RunId,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Attempt>, Error> {
        self.inner.attempts(id, after, limit).await
    }

    async fn latest_attempts(&self, id: &RunId, limit: usize) -> Result<Vec<Attempt>, Error> {
        self.inner.latest_attempts(id, limit).await
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<RunId>, Error> {
        self.inner.find(prefix, limit).await
    }

    async fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, Error> {
        self.inner.list(filter).await
    }

    async fn count(&self, filter: &RunFilter, most: u64) -> Result<u64, Error> {
        self.inner.count(filter, most).await
    }

    async fn purge(&self, id: &RunId) -> Result<bool, Error> {
        self.inner.purge(id).await
    }

    fn watch(&self, id: &RunId) -> Watch {
        self.inner.watch(id)
    }

    fn health(&self) -> StoreHealth {
        self.inner.health()
    }
    fn presence(&self) -> Option<Arc<dyn PresenceStore>> {
        self.presence.clone()
    }
}
