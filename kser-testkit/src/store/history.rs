//! History.

use crate::rules::store_sentences::sentence;
use kser_core::Status;
use kser_core::store::{Attempt, Intervention, Page, Write};

use super::browsing::write_attempts;
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
    let told = run.store.attempts(&run.id, None, 100).await.unwrap();
    assert_eq!(told, Page::new(written, None));
}

#[doc = sentence!(attempts_come_in_pages)]
pub async fn attempts_come_in_pages(harness: &StoreHarness) {
    write_attempts(Inhabitant::new(harness, "pages").await, 7).await;
    let (store, id) = (harness.store(), harness.id("pages"));
    for (limit, sizes) in [
        (3, vec![3, 3, 1]),
        (7, vec![7]),
        (6, vec![6, 1]),
        (0, vec![1; 7]),
    ] {
        let (mut after, mut told) = (None, Vec::new());
        for (index, size) in sizes.iter().enumerate() {
            let page = store.attempts(&id, after.as_ref(), limit).await.unwrap();
            assert_eq!(page.rows.len(), *size, "a limit of {limit}");
            told.extend(page.rows.into_iter().map(|attempt| attempt.attempt));
            assert_eq!(page.next.is_some(), index + 1 < sizes.len());
            after = page.next;
        }
        assert_eq!(told, [1, 2, 3, 4, 5, 6, 7]);
    }
    let none = store.attempts(&harness.id("nobody"), None, 10).await;
    assert_eq!(none.unwrap(), Page::new(Vec::new(), None));
}

#[doc = sentence!(the_latest_attempts_are_told_alone)]
pub async fn the_latest_attempts_are_told_alone(harness: &StoreHarness) {
    write_attempts(Inhabitant::new(harness, "latest").await, 7).await;
    let (store, id) = (harness.store(), harness.id("latest"));
    for (limit, expected) in [
        (3, vec![5, 6, 7]),
        (7, vec![1, 2, 3, 4, 5, 6, 7]),
        (9, vec![1, 2, 3, 4, 5, 6, 7]),
        (0, vec![7]),
    ] {
        let latest = store.latest_attempts(&id, limit).await.unwrap();
        let told: Vec<_> = latest.iter().map(|attempt| attempt.attempt).collect();
        assert_eq!(told, expected, "a limit of {limit}");
    }
    let none = store.latest_attempts(&harness.id("nobody"), 10).await;
    assert_eq!(none.unwrap(), []);
}
