//! The rules of state stores: one module a section of the contract, one function a sentence.
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the sentences link from the contract, in kser-core"
)]

pub mod browsing;
pub mod cancel_safety;
pub mod due;
pub mod history;
pub mod inserting;
pub mod instances;
pub mod outputs;
pub mod plans;
pub mod presence;
pub mod purging;
pub mod swapping;
pub mod time;
pub mod waking;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kser_core::sequencing::{
    Effect, Event, Plan, PlannedStep, Progress, StepKey, StepWindow, apply,
};
use kser_core::store::{Inserted, NewRun, Standing, Swapped, Write};
use kser_core::{Object, Outcome, Record, RunId, StateStore, Step, Timestamp, Topic};

use crate::StoreHarness;

/// More rows than the tests write, and still a number that a database takes.
const ALL: usize = 1_000_000;

/// No claim: looking changes nothing.
const NO_CLAIM: Duration = Duration::ZERO;

/// A run that is inserted, as its steps see it.
#[derive(Debug)]
struct Inhabitant<'a> {
    store: &'a Arc<dyn StateStore>,
    id: RunId,
    progress: Progress,
}

fn new_run(harness: &StoreHarness, id: &RunId, content: &str, now: Timestamp) -> NewRun {
    NewRun::new(
        id.clone(),
        harness.operation(),
        harness.topic(),
        Bytes::from(format!("launch of {content}")),
        content.to_owned(),
        Progress::launched(now),
    )
}

fn plan(id: &RunId, steps: usize) -> Vec<PlannedStep> {
    let step = |number: usize| {
        let params = format!("{{\"n\":{number},\"price\":2.50,\"s\":\"\\u0000\\ud83c\"}}");
        let params: Object = serde_from(&params);
        let mut step = Step::named("test.Step", &params).with_key(format!("key {number}"));
        if number % 2 == 1 {
            step = step.with_topic("other").external(Duration::from_secs(5));
        }
        step.with_attempts(3)
    };
    let plan = Plan::of(
        id.clone(),
        "test.Run".into(),
        (0..steps).map(step).collect(),
    );
    plan.unwrap().into_steps()
}

/// An object of raw text, which no type could hold.
fn serde_from(text: &str) -> Object {
    let message = format!(r#"{{"uuid":"","entrypoint":"","params":{text}}}"#);
    kser_core::Message::decode(message.as_bytes())
        .unwrap()
        .params
}

/// Makes an output with all fields of a record, a repeated header, an empty header name, and a header without a value.
fn output(text: &str) -> Record {
    let payload = Bytes::from(format!("\0 {text}"));
    let mut record = Record::new(Topic::new("out").unwrap(), Some(payload))
        .with_key(vec![0, 255])
        .with_header("twice", "1")
        .with_not_before(Some(Timestamp::from_millis(1_700_000_000_123)));
    record.headers.push(("none".into(), None));
    record
        .with_header("twice", "")
        .with_header("", vec![0, 255])
}

/// Makes an output without any optional field.
fn bare_output() -> Record {
    Record::new(Topic::new("bare").unwrap(), None)
}

/// An outcome of numbers and text that no type could hold.
fn odd_outcome(text: &str) -> Outcome {
    let retval = r#"{"price":2.50,"big":123456789012345678901234567890,"s":"\ud83c","e":1e400}"#;
    Outcome::text(text).with_data(serde_from(retval))
}

impl<'a> Inhabitant<'a> {
    /// Inserts a run without steps.
    async fn new(harness: &'a StoreHarness, name: &str) -> Self {
        Self::with_steps(harness, name, 0).await
    }

    /// Inserts a run that stands at its first step, or at its build if there is none.
    async fn with_steps(harness: &'a StoreHarness, name: &str, steps: usize) -> Self {
        Self::insert(harness, name, (steps, 1), Duration::ZERO).await
    }

    /// Inserts a run that stands at a step; one past the last is the end.
    async fn at_step(harness: &'a StoreHarness, name: &str, steps: usize, position: u32) -> Self {
        Self::insert(harness, name, (steps, position), Duration::ZERO).await
    }

    /// Inserts a run without steps that is due in `wait`.
    async fn due_in(harness: &'a StoreHarness, name: &str, wait: Duration) -> Self {
        let now = Timestamp::default();
        let patience = Progress::launched(now).check_at().unwrap().since(now);
        Self::insert(harness, name, (0, 0), patience.saturating_sub(wait)).await
    }

    /// Inserts a run that stands at a step, and is due.
    async fn old(harness: &'a StoreHarness, name: &str, place: (usize, u32)) -> Self {
        Self::insert(harness, name, place, Duration::from_secs(3600)).await
    }

    async fn insert(
        harness: &'a StoreHarness,
        name: &str,
        (steps, position): (usize, u32),
        age: Duration,
    ) -> Self {
        let (store, id) = (harness.store(), harness.id(name));
        let now = store.read(&id).await.unwrap().now;
        let launched = now.as_millis() - u64::try_from(age.as_millis()).unwrap();
        let launched = Timestamp::from_millis(launched);
        let mut run = new_run(harness, &id, name, launched);
        if steps > 0 {
            let count = u32::try_from(steps).unwrap();
            run.progress = Progress::forked(count, position, odd_outcome("forwarded"), launched);
            run.plan = plan(&id, steps);
        }
        let progress = run.progress.clone();
        let inserted = store.insert(run).await.unwrap().value;
        assert_eq!(inserted, Inserted::New);
        Self {
            store,
            id,
            progress,
        }
    }

    /// The progress after the run was cancelled: the simplest change there is.
    fn cancelled(&self) -> Progress {
        self.cancelled_at(self.now())
    }

    fn cancelled_at(&self, now: Timestamp) -> Progress {
        let cancelled = apply(&self.progress, StepWindow::default(), Event::Cancelled, now);
        let cancelled = cancelled.unwrap();
        assert!(!cancelled.effects.contains(&Effect::DeadLetter));
        cancelled.progress
    }

    /// The progress after the build has begun, or the first step.
    fn started(&self) -> Progress {
        let step = StepKey {
            position: 0,
            uuid: self.id.clone().into(),
            entrypoint: "test.Run".into(),
        };
        let event = Event::Started {
            step,
            lease: None,
            alone: true,
            seen: 0,
        };
        let started = apply(&self.progress, StepWindow::default(), event, self.now());
        started.unwrap().progress
    }

    /// The progress after the attempt that has begun was given back.
    fn given_back(&self) -> Progress {
        let step = StepKey {
            position: 0,
            uuid: self.id.clone().into(),
            entrypoint: "test.Run".into(),
        };
        let attempt = self.progress.attempts();
        let event = Event::Interrupted { step, attempt };
        let given_back = apply(&self.progress, StepWindow::default(), event, self.now());
        given_back.unwrap().progress
    }

    /// The state of a run without steps.
    fn standing(&self) -> Box<Standing> {
        Box::new(Standing::new(self.progress.clone(), None, None))
    }

    const fn now(&self) -> Timestamp {
        self.progress.updated()
    }

    async fn swap(&self, write: Write) -> Swapped {
        let swapped = self
            .store
            .swap(&self.id, self.progress.revision(), write)
            .await;
        swapped.unwrap().value
    }

    async fn read(&self) -> Option<Progress> {
        let read = self.store.read(&self.id).await.unwrap();
        read.value.into_progress()
    }
}
