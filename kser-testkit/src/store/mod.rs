//! The rules of state stores: one module a section of the contract, one function a sentence.

pub mod cancel_safety;
pub mod due;
pub mod history;
pub mod inserting;
pub mod instances;
pub mod outputs;
pub mod plans;
pub mod purging;
pub mod swapping;
pub mod time;
pub mod waking;

use std::sync::Arc;

use bytes::Bytes;
use kser_core::sequencing::{Effect, Event, Near, Plan, PlannedStep, Progress, StepKey, apply};
use kser_core::store::{Inserted, NewRun, Swapped, Write};
use kser_core::{Object, Outcome, Record, RunId, StateStore, Step, Timestamp, Topic};

use crate::StoreHarness;

/// A run that is inserted, as its steps see it.
#[derive(Debug)]
struct Inhabitant<'a> {
    store: &'a Arc<dyn StateStore>,
    id: RunId,
    progress: Progress,
}

fn new_run(id: &RunId, content: &str, now: Timestamp) -> NewRun {
    NewRun::new(
        id.clone(),
        "test.Run".into(),
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
            step = step
                .with_topic("other")
                .external(std::time::Duration::from_secs(5));
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

fn output(text: &str) -> Record {
    Record::new(
        Topic::new("out").unwrap(),
        Some(Bytes::from(text.to_owned())),
    )
}

impl<'a> Inhabitant<'a> {
    /// Inserts a run without steps.
    async fn new(harness: &'a StoreHarness, name: &str) -> Self {
        Self::with_steps(harness, name, 0).await
    }

    /// Inserts a run that stands at its first step, or at its build if there is none.
    async fn with_steps(harness: &'a StoreHarness, name: &str, steps: usize) -> Self {
        let (store, id) = (harness.store(), harness.id(name));
        let now = store.read(&id).await.unwrap().now;
        let mut run = new_run(&id, name, now);
        if steps > 0 {
            let count = u32::try_from(steps).unwrap();
            run.progress = Progress::forked(count, 1, Outcome::default(), now);
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
        let cancelled = apply(
            &self.progress,
            Near::default(),
            Event::Cancelled,
            self.now(),
        );
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
        let started = apply(&self.progress, Near::default(), event, self.now());
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
        let given_back = apply(&self.progress, Near::default(), event, self.now());
        given_back.unwrap().progress
    }

    const fn now(&self) -> Timestamp {
        self.progress.updated()
    }

    async fn swap(&self, write: Write) -> Swapped {
        let swapped = self
            .store
            .swap(&self.id, self.progress.version(), write)
            .await;
        swapped.unwrap().value
    }

    async fn read(&self) -> Option<Progress> {
        self.store.read(&self.id).await.unwrap().value
    }
}
