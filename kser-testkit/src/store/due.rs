//! Due.

use crate::rules::store_sentences::sentence;
use std::time::Duration;

use kser_core::sequencing::{Event, Lease, Owner, Progress, StepKey, StepWindow, apply};
use kser_core::store::{DueRun, Write};
use kser_core::{RunId, Topic};

use super::{ALL, Inhabitant, NO_CLAIM, plan};
use crate::StoreHarness;

/// No wait: a run is due at its `check_at`.
const NOW: Duration = Duration::ZERO;

#[doc = sentence!(a_run_is_due_at_its_time)]
pub async fn a_run_is_due_at_its_time(harness: &StoreHarness) {
    let run = Inhabitant::due_in(harness, "due", Duration::from_secs(4)).await;
    let at = run.progress.check_at().unwrap();
    assert!(!is_due(harness, &run).await, "four seconds before");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!is_due(harness, &run).await, "two seconds before");
    tokio::time::sleep(Duration::from_secs(3)).await;
    for _ in 0..2 {
        let due = run
            .store
            .due(&harness.topic(), NOW, ALL, NO_CLAIM)
            .await
            .unwrap();
        assert!(
            due.now >= at,
            "five seconds have passed on the store's clock"
        );
        assert!(has(&due.value, &run.id), "looking changes nothing");
    }
}

#[doc = sentence!(a_run_is_due_later_with_a_wait)]
pub async fn a_run_is_due_later_with_a_wait(harness: &StoreHarness) {
    let run = Inhabitant::due_in(harness, "wait", Duration::from_secs(1)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let waited = Duration::from_secs(3);
    let due = async || {
        run.store
            .due(&harness.topic(), waited, ALL, NO_CLAIM)
            .await
            .unwrap()
    };
    assert!(is_due(harness, &run).await);
    assert!(!has(&due().await.value, &run.id), "its record may wait");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(has(&due().await.value, &run.id));
}

#[doc = sentence!(a_run_is_due_for_its_topic_alone)]
pub async fn a_run_is_due_for_its_topic_alone(harness: &StoreHarness) {
    let run = Inhabitant::due_in(harness, "topic", Duration::ZERO).await;
    let other = Topic::new(format!("{}.other", harness.topic())).unwrap();
    let due_for = async |topic: &Topic| {
        let due = run
            .store
            .due(topic, NOW, ALL, NO_CLAIM)
            .await
            .unwrap()
            .value;
        has(&due, &run.id)
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(due_for(&harness.topic()).await && !due_for(&other).await);
    let mut write = Write::new(leased(&run, Duration::from_secs(1)).await);
    write.topic = Some(other.clone());
    run.swap(write).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(due_for(&other).await && !due_for(&harness.topic()).await);
}

#[doc = sentence!(the_earliest_is_first_and_the_limit_holds)]
pub async fn the_earliest_is_first_and_the_limit_holds(harness: &StoreHarness) {
    let mut runs = Vec::new();
    for (name, wait) in [("second", 2000), ("third", 3000), ("first", 100)] {
        runs.push(Inhabitant::due_in(harness, name, Duration::from_millis(wait)).await);
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let due = harness
        .store()
        .due(&harness.topic(), NOW, ALL, NO_CLAIM)
        .await
        .unwrap()
        .value;
    let ours = due
        .iter()
        .map(|due| &due.info.id)
        .filter(|id| runs.iter().any(|run| run.id == **id));
    let expected = ["first", "second", "third"].map(|name| harness.id(name));
    assert_eq!(
        ours.collect::<Vec<_>>(),
        expected.iter().collect::<Vec<_>>()
    );
    let two = harness
        .store()
        .due(&harness.topic(), NOW, 2, NO_CLAIM)
        .await
        .unwrap()
        .value;
    assert_eq!(two.len(), 2, "{two:?}");
}

#[doc = sentence!(a_run_that_needs_no_look_is_never_due)]
pub async fn a_run_that_needs_no_look_is_never_due(harness: &StoreHarness) {
    let run = Inhabitant::due_in(harness, "ended", Duration::from_secs(1)).await;
    let cancelled = run.cancelled();
    assert_eq!(cancelled.check_at(), None);
    run.swap(Write::new(cancelled)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!is_due(harness, &run).await);
}

#[doc = sentence!(a_run_that_is_due_is_told_whole)]
pub async fn a_run_that_is_due_is_told_whole(harness: &StoreHarness) {
    let run = Inhabitant::old(harness, "whole", (3, 2)).await;
    let due = run.store.due(&harness.topic(), NOW, ALL, NO_CLAIM).await;
    let mut due = due.unwrap().value;
    due.retain(|due| due.info.id == run.id);
    assert_eq!(due.len(), 1);
    let info = run.store.run(&run.id).await.unwrap().unwrap();
    let mut steps = plan(&run.id, 3).into_iter().skip(1);
    let whole = DueRun::new(info, steps.next(), steps.next());
    assert_eq!(due.pop(), Some(whole));
}

#[doc = sentence!(a_claimed_run_is_not_due)]
pub async fn a_claimed_run_is_not_due(harness: &StoreHarness) {
    let mut runs = Vec::new();
    for number in 0..5_u64 {
        let wait = Duration::from_millis(number * 10);
        runs.push(Inhabitant::due_in(harness, &format!("claim {number}"), wait).await);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (store, topic) = (harness.store(), harness.topic());
    let hold = Duration::from_secs(3);
    let claim = async |limit| {
        let due = store.due(&topic, NOW, limit, hold).await.unwrap().value;
        due.into_iter().map(|due| due.info.id).collect::<Vec<_>>()
    };
    let (first, second, third) = (claim(2).await, claim(2).await, claim(ALL).await);
    let claimed = [first.as_slice(), second.as_slice(), third.as_slice()];
    let all: Vec<_> = runs.iter().map(|run| run.id.clone()).collect();
    assert_eq!(claimed.map(<[RunId]>::len), [2, 2, 1]);
    assert_eq!(claimed.concat(), all, "each was told once");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(claim(ALL).await.is_empty());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(claim(ALL).await.len(), 5, "the claims are over");
}

#[doc = sentence!(a_swap_ends_a_claim)]
pub async fn a_swap_ends_a_claim(harness: &StoreHarness) {
    let run = Inhabitant::due_in(harness, "swapped", Duration::ZERO).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let hour = Duration::from_secs(3600);
    let claimed = run.store.due(&harness.topic(), NOW, ALL, hour).await;
    assert!(has(&claimed.unwrap().value, &run.id));
    run.swap(Write::new(leased(&run, Duration::from_secs(1)).await))
        .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(is_due(harness, &run).await);
}

fn has(due: &[DueRun], id: &RunId) -> bool {
    due.iter().any(|due| due.info.id == *id)
}

/// Returns the progress after the build has started, with its `check_at` in `wait`.
async fn leased(run: &Inhabitant<'_>, wait: Duration) -> Progress {
    let now = run.store.read(&run.id).await.unwrap().now;
    let lease = Lease::new(now + wait, Owner::new("worker".into(), 0));
    let event = Event::Started {
        step: StepKey {
            position: 0,
            uuid: run.id.clone().into(),
            entrypoint: "test.Run".into(),
        },
        lease: Some(lease),
        alone: true,
        seen: 0,
    };
    let started = apply(&run.progress, StepWindow::default(), event, now);
    started.unwrap().progress
}

async fn is_due(harness: &StoreHarness, run: &Inhabitant<'_>) -> bool {
    let due = run
        .store
        .due(&harness.topic(), NOW, ALL, NO_CLAIM)
        .await
        .unwrap()
        .value;
    has(&due, &run.id)
}
