//! History.

use crate::rules::store_sentences::sentence;
use kser_core::Status;
use kser_core::store::{Attempt, Intervention, RunFilter, Write};

use super::{Inhabitant, odd_outcome};
use crate::StoreHarness;

#[doc = sentence!(attempts_come_in_order_byte_for_byte)]
pub async fn attempts_come_in_order_byte_for_byte(harness: &StoreHarness) {
    let mut run = Inhabitant::new(harness, "attempts").await;
    let mut written = Vec::new();
    for attempt in 1..=5 {
        let outcome = odd_outcome(&format!("try {attempt}"));
        let mut row = Attempt::new(0, "test.Run".into(), attempt, run.now(), outcome);
        row.started = Some(run.now());
        row.worker = "worker \u{1f3b2}".to_owned();
        row.status = Status::Failed;
        let verb = Intervention::new(
            "skip step".to_owned(),
            "on call \u{1f3b2}".to_owned(),
            "' ; --\n".to_owned(),
        );
        row.by = Some(verb).filter(|_| attempt == 2);
        let mut write = Write::new(run.started());
        write.attempt = Some(row.clone());
        let progress = write.progress.clone();
        run.swap(write).await;
        written.push(row);
        run.progress = progress;
        let given_back = run.given_back();
        run.swap(Write::new(given_back.clone())).await;
        run.progress = given_back;
    }
    assert_eq!(run.store.attempts(&run.id, 0, 100).await.unwrap(), written);
    assert_eq!(
        run.store.attempts(&run.id, 3, 1).await.unwrap(),
        written[3..4]
    );
    assert!(run.store.attempts(&run.id, 5, 10).await.unwrap().is_empty());
}

#[doc = sentence!(a_list_pages_through_the_latest_first)]
pub async fn a_list_pages_through_the_latest_first(harness: &StoreHarness) {
    let mut expected = Vec::new();
    for number in 0..7 {
        let run = Inhabitant::new(harness, &format!("list {number}")).await;
        match number % 3 {
            0 => drop(run.swap(Write::new(run.cancelled())).await),
            _ => expected.insert(0, run.id.clone()),
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let filter = RunFilter::default()
        .with_name(harness.operation())
        .with_status(Status::Pending);
    let mut seen = Vec::new();
    loop {
        let filter = filter.clone().with_page(seen.len(), 3);
        let page = harness.store().list(&filter).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|info| info.id));
    }
    assert_eq!(seen, expected);
    let none = RunFilter::default().with_name("test.Other");
    assert!(harness.store().list(&none).await.unwrap().is_empty());
}
