//! A sealed store keeps the contract of a store, and opens no value in another place than its own.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use kser_clock::SystemClock;
use kser_core::sequencing::{Effect, Event, Plan, StepKey, StepWindow, apply};
use kser_core::{Status, Step, Timestamp};
use kser_encryption::{Key, KeyId, KeyRing};
use kser_memory::MemoryStore;
use kser_testkit::StoreHarness;

use super::*;
use crate::encryption::Encryption;

async fn payloads() -> Payloads {
    payloads_of(|encryption| encryption).await
}

async fn payloads_of(policy: fn(Encryption) -> Encryption) -> Payloads {
    let ring = KeyRing::new(KeyId::new("a").unwrap(), Key::from_bytes([1; 32]));
    let cipher = policy(Encryption::new(ring)).into_cipher(Arc::new(SystemClock));
    Payloads::encrypted(Arc::new(cipher.await.unwrap()))
}

async fn harness(store: Arc<dyn StateStore>) -> StoreHarness {
    StoreHarness::new(SealedStore::around(store, &payloads().await))
}

mod memory {
    use super::*;

    kser_testkit::store_suite!(paused, harness(Arc::new(MemoryStore::new())));
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::sync::atomic::{AtomicU32, Ordering};

    use kser_sql::SqliteStore;

    use super::*;

    static MADE: AtomicU32 = AtomicU32::new(0);

    /// Each rule has a file of its own.
    async fn file() -> StoreHarness {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("kser-sealed-{}-{number}.db", std::process::id());
        let path = std::env::temp_dir().join(name);
        let store = SqliteStore::open(&path).await.unwrap();
        // The open file stays until the store is dropped.
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", path.display()));
        }
        harness(Arc::new(store)).await
    }

    kser_testkit::store_suite!(paused, file());
}

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn name() -> kser_core::Name {
    "test.Run".into()
}

/// Makes a run of two equal steps, whose outcome so far, params and launch are all texts of JSON.
fn new_run(id: &RunId) -> NewRun {
    let step = || Step::named("test.Step", &Outcome::text("secret"));
    let plan = Plan::of(id.clone(), name(), vec![step(), step()]).unwrap();
    let topic = Topic::new("test").unwrap();
    let progress = Progress::forked(2, 1, Outcome::text("secret"), NOW);
    let launch = Bytes::from_static(b"{\"secret\":1}");
    let mut run = NewRun::new(id.clone(), name(), topic, launch, String::new(), progress);
    run.plan = plan.into_steps();
    run
}

/// Begins the first step, and has it fail for good.
fn failed(progress: &Progress, plan: &[PlannedStep]) -> Progress {
    let step: StepKey = plan[0].key.clone();
    let window = StepWindow {
        current: plan.first(),
        following: plan.get(1),
    };
    let started = Event::Started {
        step: step.clone(),
        lease: None,
        alone: true,
        seen: 0,
    };
    let started = apply(progress, window, started, NOW).unwrap().progress;
    let event = Event::Ended {
        step,
        attempt: started.attempts(),
        outcome: Outcome::text("secret").with_code(500),
        retry_at: None,
    };
    let failed = apply(&started, window, event, NOW).unwrap();
    assert!(failed.effects.contains(&Effect::DeadLetter));
    failed.progress
}

#[tokio::test(start_paused = true)]
async fn a_value_is_opened_in_its_own_place_only() {
    let rows = Arc::new(MemoryStore::new());
    let payloads = payloads().await;
    let sealed = SealedStore {
        store: Arc::<MemoryStore>::clone(&rows),
        payloads: payloads.clone(),
    };
    let (one, other) = (RunId::from("one"), RunId::from("other"));
    // The values of the first run, as they are kept.
    let run = new_run(&one);
    sealed.insert(run.clone()).await.unwrap();
    let mut write = Write::new(failed(&run.progress, &run.plan));
    write.attempt = Some(Attempt::new(1, name(), 1, NOW, Outcome::text("secret")));
    let swapped = sealed.swap(&one, run.progress.revision(), write).await;
    assert_eq!(swapped.unwrap().value, Swapped::Written(None));
    let info = rows.run(&one).await.unwrap().unwrap();
    let failure = info.progress.failure().unwrap().clone();
    let attempt = rows.attempts(&one, None, 1).await.unwrap().rows.remove(0);
    let params = rows.step(&one, 1).await.unwrap().unwrap().params;
    let outcome = info.progress.outcome().clone();
    let place = Place::of(&one);
    let values: Vec<(String, Bytes)> = vec![
        (LAUNCH.to_owned(), info.launch.clone()),
        (OUTCOME.to_owned(), text(outcome.data())),
        (FAILURE.to_owned(), text(failure.data())),
        ("params.1".to_owned(), text(&params)),
        (attempt_field(&attempt), text(attempt.outcome.data())),
    ];
    let mut later = attempt.clone();
    later.attempt = 2;
    let mut fields: Vec<String> = values.iter().map(|(field, _)| field.clone()).collect();
    fields.extend(["params.2".to_owned(), attempt_field(&later)]);
    let different: std::collections::BTreeSet<_> = fields.iter().collect();
    assert_eq!(different.len(), fields.len(), "{fields:?}");
    for (field, value) in &values {
        for found in &fields {
            let opened = payloads.open_row(value, &place.field(found).unwrap()).await;
            assert_eq!(opened.is_ok(), found == field, "{field} found as {found}");
            let elsewhere = Place::of(&other).field(found).unwrap();
            let error = payloads.open_row(value, &elsewhere).await.unwrap_err();
            assert!(!error.is_temporary(), "{field} of another run as {found}");
        }
    }

    // Rows that an intruder has written with them.
    let swapped = |change: fn(&mut NewRun, &RunInfo, &Outcome, &kser_core::Object)| {
        let mut run = new_run(&other);
        (run.launch, run.progress, run.plan) = sealed_parts(&sealed, &other);
        change(&mut run, &info, &attempt.outcome, &params);
        run
    };
    let changes: [fn(&mut NewRun, &RunInfo, &Outcome, &kser_core::Object); 4] = [
        |run, info, _, _| run.launch.clone_from(&info.launch),
        |run, info, _, _| run.progress = info.progress.clone(),
        |run, _, _, params| run.plan[0].params = params.clone(),
        |run, _, _, _| {
            let first = run.plan[0].params.clone();
            run.plan[0].params = std::mem::replace(&mut run.plan[1].params, first);
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let rows = MemoryStore::new();
        rows.insert(swapped(change)).await.unwrap();
        let sealed = SealedStore {
            store: Arc::new(rows),
            payloads: payloads.clone(),
        };
        let run = sealed.run(&other).await;
        let steps = [
            sealed.step(&other, 1).await.is_err(),
            sealed.step(&other, 2).await.is_err(),
        ];
        let refused = (run.is_err(), steps);
        let expected = match number {
            0 | 1 => (true, [false, false]),
            2 => (false, [true, false]),
            _ => (false, [true, true]),
        };
        assert_eq!(refused, expected, "change {number}");
        for error in [run.err(), sealed.step(&other, 1).await.err()]
            .into_iter()
            .flatten()
        {
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("kser.store.") && !shown.contains("secret"));
        }
    }
}

fn text(object: &kser_core::Object) -> Bytes {
    Bytes::from(object.as_str().to_owned())
}

/// Returns the values of a new run as the store keeps them.
fn sealed_parts(sealed: &SealedStore, id: &RunId) -> (Bytes, Progress, Vec<PlannedStep>) {
    let (run, place) = (new_run(id), Place::of(id));
    let launch = place.field(LAUNCH).unwrap();
    (
        sealed.payloads.seal_row(run.launch, &launch).unwrap(),
        sealed.seal_progress(run.progress, &place).unwrap(),
        sealed.seal_plan(run.plan, &place).unwrap(),
    )
}

/// A row that a program without encryption has written is read only while plain values are allowed.
#[tokio::test(start_paused = true)]
async fn a_value_that_is_not_encrypted_is_refused() {
    let rows = Arc::new(MemoryStore::new());
    let id = RunId::from("one");
    rows.insert(new_run(&id)).await.unwrap();
    let store = harness(Arc::<MemoryStore>::clone(&rows) as Arc<dyn StateStore>).await;
    let store = store.store();
    for error in [
        store.run(&id).await.unwrap_err(),
        store.read(&id).await.unwrap_err(),
        store.step(&id, 1).await.unwrap_err(),
    ] {
        assert!(!error.is_temporary());
        assert!(format!("{error:?}").contains("the value in the store is not encrypted"));
    }
}

/// Version 1 has no topic, by which a value is bound to its place.
#[tokio::test(start_paused = true)]
async fn a_client_that_writes_version_1_keeps_rows_of_version_2() {
    let payloads = payloads_of(Encryption::write_v1).await;
    let place = Place::of(&RunId::from("one")).field(LAUNCH).unwrap();
    let row = payloads.seal_row(Bytes::from("{}"), &place).unwrap();
    assert!(row.starts_with(b"{\"kser_sealed\":2,"));
    assert_eq!(payloads.open_row(&row, &place).await.unwrap(), "{}");
}

/// Ids of runs differ in any of their bytes, also those that no topic may have.
#[test]
fn places_of_any_two_runs_differ() {
    let ids = ["a", "a.", "a/b", "a.b", "é", "", "params.1"];
    let places: std::collections::BTreeSet<_> = ids
        .iter()
        .map(|id| Place::of(&RunId::from(*id)).run)
        .collect();
    assert_eq!(places.len(), ids.len());
}

#[tokio::test(start_paused = true)]
async fn a_status_of_an_attempt_stays_readable() {
    let rows = Arc::new(MemoryStore::new());
    let sealed = harness(Arc::<MemoryStore>::clone(&rows) as Arc<dyn StateStore>).await;
    let id = RunId::from("one");
    let run = new_run(&id);
    sealed.store().insert(run.clone()).await.unwrap();
    let mut write = Write::new(failed(&run.progress, &run.plan));
    let outcome = Outcome::text("secret").with_code(500);
    write.attempt = Some(Attempt::new(1, name(), 1, NOW, outcome.clone()));
    let swapped = sealed.store().swap(&id, run.progress.revision(), write);
    swapped.await.unwrap();
    let kept = rows.attempts(&id, None, 1).await.unwrap().rows.remove(0);
    assert_eq!((kept.status, kept.outcome.code()), (Status::Failed, 500));
    assert!(!format!("{kept:?}").contains("secret"));
    let opened = sealed
        .store()
        .attempts(&id, None, 1)
        .await
        .unwrap()
        .rows
        .remove(0);
    assert_eq!(opened.outcome, outcome);
}
