//! Due.

use std::time::Duration;

use kser_core::store::Write;

use super::Inhabitant;
use crate::StoreHarness;

/// How long a launched run may take to start before someone looks.
const PATIENCE: Duration = Duration::from_secs(60);

/// A run is due when its `check_at` is not after the store's time.
pub async fn a_run_is_due_at_its_time(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "due").await;
    assert!(!is_due(&run).await);
    let at = run.progress.check_at().unwrap();
    tokio::time::sleep(at.since(run.now()) - Duration::from_secs(1)).await;
    assert!(!is_due(&run).await, "a second before");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(is_due(&run).await, "a second after");
    assert!(is_due(&run).await, "looking changes nothing");
}

/// The earliest comes first, and never more than the limit.
pub async fn the_earliest_is_first_and_the_limit_holds(harness: &StoreHarness) {
    let mut runs = Vec::new();
    for name in ["first", "second", "third"] {
        runs.push(Inhabitant::new(harness, name).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(PATIENCE * 2).await;
    let due = runs[0].store.due(1000).await.unwrap().value;
    let ours = due
        .iter()
        .filter(|id| runs.iter().any(|run| run.id == **id));
    let expected: Vec<_> = runs.iter().map(|run| &run.id).collect();
    assert_eq!(ours.collect::<Vec<_>>(), expected);
    assert_eq!(runs[0].store.due(2).await.unwrap().value.len(), 2);
}

/// A run without `check_at` is never due.
pub async fn a_run_that_needs_no_look_is_never_due(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "ended").await;
    let cancelled = run.cancelled();
    assert_eq!(cancelled.check_at(), None);
    run.swap(Write::new(cancelled)).await;
    tokio::time::sleep(PATIENCE * 2).await;
    assert!(!is_due(&run).await);
}

async fn is_due(run: &Inhabitant<'_>) -> bool {
    let due = run.store.due(1000).await.unwrap().value;
    due.contains(&run.id)
}
