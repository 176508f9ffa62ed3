//! Swapping.

use crate::rules::store_sentences::sentence;
use std::time::Duration;

use kser_core::sequencing::{Outcomes, Revision};
use kser_core::store::{Attempt, Found, OUTPUT_PATIENCE, Standing, Swapped, Write};
use tokio::task::JoinSet;

use super::{ALL, Inhabitant, NO_CLAIM, odd_outcome, output, plan};
use crate::StoreHarness;

#[doc = sentence!(a_swap_writes_if_the_version_is_the_expected_one)]
pub async fn a_swap_writes_if_the_version_is_the_expected_one(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "swap").await;
    let cancelled = run.cancelled();
    let swapped = run.swap(Write::new(cancelled.clone())).await;
    assert_eq!(swapped, Swapped::Written(None));
    assert_eq!(run.read().await, Some(cancelled));
}

#[doc = sentence!(of_many_swaps_one_writes)]
pub async fn of_many_swaps_one_writes(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "many").await;
    let mut swaps = JoinSet::new();
    for _ in 0..20 {
        let (store, id) = (run.store.clone(), run.id.clone());
        let (expected, write) = (run.progress.revision(), Write::new(run.cancelled()));
        swaps.spawn(async move { store.swap(&id, expected, write).await.unwrap().value });
    }
    let mut written = 0;
    while let Some(swapped) = swaps.join_next().await {
        written += usize::from(matches!(swapped.unwrap(), Swapped::Written(_)));
    }
    assert_eq!(written, 1);
}

#[doc = sentence!(a_swap_that_does_not_write_changes_nothing)]
pub async fn a_swap_that_does_not_write_changes_nothing(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "conflict").await;
    let version = run.progress.version();
    for version in [version + 1, version - 1] {
        let wrong = Revision {
            version,
            ..run.progress.revision()
        };
        let write = Write::new(run.cancelled());
        let swapped = run.store.swap(&run.id, wrong, write).await.unwrap().value;
        let stored = Found::Stands(run.standing());
        assert_eq!(swapped, Swapped::Conflict(stored));
    }
    assert_eq!(run.read().await, Some(run.progress.clone()));
    let nobody = harness.id("nobody");
    let swapped = run
        .store
        .swap(
            &nobody,
            run.progress.revision(),
            Write::new(run.cancelled()),
        )
        .await;
    assert_eq!(swapped.unwrap().value, Swapped::Conflict(Found::Unknown));
    assert_eq!(run.store.read(&nobody).await.unwrap().value, Found::Unknown);
}

#[doc = sentence!(a_swap_that_expects_another_stamp_does_not_write)]
pub async fn a_swap_that_expects_another_stamp_does_not_write(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "stamp").await;
    let started = run.started().with_stamp(7);
    let swapped = run.swap(Write::new(started.clone())).await;
    assert_eq!(swapped, Swapped::Written(None));
    // As a writer that saw the same version in another life of the run: of a purged run, or of a backup.
    for stamp in [0, 8] {
        let expected = Revision {
            stamp,
            ..started.revision()
        };
        let write = Write::new(run.cancelled().with_stamp(9));
        let swapped = run.store.swap(&run.id, expected, write).await;
        let stored = Box::new(Standing::new(started.clone(), None, None));
        assert_eq!(
            swapped.unwrap().value,
            Swapped::Conflict(Found::Stands(stored))
        );
    }
    assert_eq!(run.read().await, Some(started));
}

#[doc = sentence!(a_swap_that_is_repeated_has_written_once)]
pub async fn a_swap_that_is_repeated_has_written_once(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "repeated").await;
    let mut write = Write::new(run.started().with_stamp(7));
    write.plan = Some(plan(&run.id, 2));
    write.fetch = Some(1);
    let outcome = odd_outcome("left");
    write.attempt = Some(Attempt::new(0, "test.Run".into(), 1, run.now(), outcome));
    write.outputs = vec![output("sent")];
    let first = run.swap(write.clone()).await;
    assert!(matches!(first, Swapped::Written(Some(_))), "{first:?}");
    assert_eq!(
        run.swap(write.clone()).await,
        first,
        "its answer was lost, say"
    );
    let attempts = run.store.attempts(&run.id, None, 10).await.unwrap().rows;
    assert_eq!(attempts.len(), 1);
    tokio::time::sleep(OUTPUT_PATIENCE + Duration::from_secs(1)).await;
    let due = run.store.outputs_due(ALL, NO_CLAIM).await.unwrap().value;
    assert_eq!(due.iter().filter(|due| due.id.run == run.id).count(), 1);
    // Another write of the same version is another one, and so is one without a stamp.
    for stamp in [8, 0] {
        let write = Write::new(run.started().with_stamp(stamp));
        let swapped = run.swap(write).await;
        let is_conflict = matches!(swapped, Swapped::Conflict(Found::Stands(_)));
        assert!(is_conflict, "{swapped:?}");
    }
}

#[doc = sentence!(plan_attempt_and_outputs_of_a_swap_are_written_with_it)]
pub async fn plan_attempt_and_outputs_of_a_swap_are_written_with_it(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "along").await;
    let mut write = Write::new(run.started());
    write.plan = Some(plan(&run.id, 2));
    let outcome = odd_outcome("left");
    write.attempt = Some(Attempt::new(0, "test.Run".into(), 1, run.now(), outcome));
    write.outputs = vec![output("sent")];
    let wrong = Revision {
        version: run.progress.version() + 7,
        ..run.progress.revision()
    };
    let lost = run.store.swap(&run.id, wrong, write.clone()).await.unwrap();
    assert!(matches!(lost.value, Swapped::Conflict(_)));
    assert_eq!(run.store.step(&run.id, 1).await.unwrap(), None);
    assert!(
        run.store
            .attempts(&run.id, None, 10)
            .await
            .unwrap()
            .rows
            .is_empty()
    );
    assert!(matches!(run.swap(write.clone()).await, Swapped::Written(_)));
    assert!(run.store.step(&run.id, 1).await.unwrap().is_some());
    assert_eq!(
        run.store.attempts(&run.id, None, 10).await.unwrap().rows,
        [write.attempt.unwrap()]
    );
    tokio::time::sleep(OUTPUT_PATIENCE + Duration::from_secs(1)).await;
    let due = run.store.outputs_due(ALL, NO_CLAIM).await.unwrap().value;
    let due: Vec<_> = due.into_iter().filter(|due| due.id.run == run.id).collect();
    assert_eq!(due.len(), 1, "one of the two swaps wrote: {due:?}");
}

#[doc = sentence!(a_swap_may_keep_the_outcomes)]
pub async fn a_swap_may_keep_the_outcomes(harness: &StoreHarness) {
    let run = Inhabitant::with_steps(harness, "kept", 2).await;
    let outcomes = run.progress.outcomes();
    assert_ne!(outcomes, Outcomes::default());
    let cancelled = run.cancelled();
    let mut write = Write::new(cancelled.clone().with_outcomes(Outcomes::default()));
    write.keeps_outcomes = true;
    assert!(matches!(run.swap(write).await, Swapped::Written(_)));
    let whole = cancelled.with_outcomes(outcomes);
    assert_eq!(run.read().await, Some(whole.clone()));
    let end = run.store.await_end(&run.id).await.unwrap().value;
    assert_eq!(end, Some(whole.clone()));
    let info = run.store.run(&run.id).await.unwrap().unwrap();
    assert_eq!(info.progress, whole);
}

#[doc = sentence!(the_next_read_returns_a_swap)]
pub async fn the_next_read_returns_a_swap(harness: &StoreHarness) {
    let run = Inhabitant::with_steps(harness, "read", 2).await;
    assert_eq!(run.read().await, Some(run.progress.clone()), "as inserted");
    let written = run.cancelled();
    run.swap(Write::new(written.clone())).await;
    let (store, id) = (run.store.clone(), run.id.clone());
    let read = tokio::spawn(async move { store.read(&id).await.unwrap().value.into_progress() });
    assert_eq!(read.await.unwrap(), Some(written.clone()));
    let info = run.store.run(&run.id).await.unwrap().unwrap();
    assert_eq!((info.progress, info.name), (written, harness.operation()));
}

#[doc = sentence!(a_swap_answers_with_the_step_that_was_asked_for)]
pub async fn a_swap_answers_with_the_step_that_was_asked_for(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "fetch").await;
    let steps = plan(&run.id, 3);
    let mut write = Write::new(run.started());
    write.plan = Some(steps.clone());
    write.fetch = Some(2);
    let swapped = run.swap(write).await;
    assert_eq!(swapped, Swapped::Written(Some(steps[1].clone())));
    let run = Inhabitant::with_steps(harness, "beyond", 3).await;
    let mut write = Write::new(run.cancelled());
    write.fetch = Some(4);
    assert_eq!(run.swap(write).await, Swapped::Written(None));
}
