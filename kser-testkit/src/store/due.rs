//! Due.

use std::time::Duration;

use kser_core::store::Write;

use super::{ALL, Inhabitant};
use crate::StoreHarness;

/// A run is due when its `check_at` is not after the store's time.
pub async fn a_run_is_due_at_its_time(harness: &StoreHarness) {
    let run = Inhabitant::due_in(harness, "due", Duration::from_secs(4)).await;
    let at = run.progress.check_at().unwrap();
    assert!(!is_due(&run).await, "four seconds before");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!is_due(&run).await, "two seconds before");
    tokio::time::sleep(Duration::from_secs(3)).await;
    for _ in 0..2 {
        let due = run.store.due(ALL).await.unwrap();
        assert!(
            due.now >= at,
            "five seconds have passed on the store's clock"
        );
        assert!(due.value.contains(&run.id), "looking changes nothing");
    }
}

/// The earliest comes first, and never more than the limit.
pub async fn the_earliest_is_first_and_the_limit_holds(harness: &StoreHarness) {
    let mut runs = Vec::new();
    for (name, wait) in [("second", 200), ("third", 300), ("first", 100)] {
        runs.push(Inhabitant::due_in(harness, name, Duration::from_millis(wait)).await);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let due = harness.store().due(ALL).await.unwrap().value;
    let ours = due
        .iter()
        .filter(|id| runs.iter().any(|run| run.id == **id));
    let expected = ["first", "second", "third"].map(|name| harness.id(name));
    assert_eq!(
        ours.collect::<Vec<_>>(),
        expected.iter().collect::<Vec<_>>()
    );
    let two = harness.store().due(2).await.unwrap().value;
    assert_eq!(two.len(), 2, "{two:?}");
}

/// A run without `check_at` is never due.
pub async fn a_run_that_needs_no_look_is_never_due(harness: &StoreHarness) {
    let run = Inhabitant::due_in(harness, "ended", Duration::from_secs(1)).await;
    let cancelled = run.cancelled();
    assert_eq!(cancelled.check_at(), None);
    run.swap(Write::new(cancelled)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!is_due(&run).await);
}

async fn is_due(run: &Inhabitant<'_>) -> bool {
    let due = run.store.due(ALL).await.unwrap().value;
    due.contains(&run.id)
}
