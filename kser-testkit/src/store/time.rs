//! Time.

use crate::rules::store_sentences::sentence;
use std::time::Duration;

use kser_core::store::Write;

use super::{Inhabitant, NO_CLAIM};
use crate::StoreHarness;

#[doc = sentence!(the_time_never_goes_back)]
pub async fn the_time_never_goes_back(harness: &StoreHarness) {
    let id = harness.id("time");
    let first = harness.store().read(&id).await.unwrap().now;
    let mut last = first;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let now = harness.store().read(&id).await.unwrap().now;
        assert!(
            now >= last,
            "{} is before {}",
            now.as_millis(),
            last.as_millis()
        );
        last = now;
    }
    assert!(last > first, "time passes");
}

#[doc = sentence!(every_answer_tells_the_time)]
pub async fn every_answer_tells_the_time(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "answers").await;
    let store = run.store;
    let before = store.read(&run.id).await.unwrap().now;
    let again = super::new_run(harness, &run.id, "answers", run.now());
    let write = Write::new(run.cancelled());
    let times = [
        store.insert(again).await.unwrap().now,
        store
            .swap(&run.id, run.progress.revision(), write)
            .await
            .unwrap()
            .now,
        store
            .due(&harness.topic(), Duration::ZERO, 1, NO_CLAIM)
            .await
            .unwrap()
            .now,
        store.outputs_due(1, NO_CLAIM).await.unwrap().now,
        store.register(&"instance".into()).await.unwrap().now,
        store.id().await.unwrap().now,
    ];
    let after = store.read(&run.id).await.unwrap().now;
    for now in times {
        assert!(before <= now && now <= after);
    }
}
