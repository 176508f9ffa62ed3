//! Browsing.

use std::collections::BTreeSet;
use std::time::Duration;

use kser_core::store::{Cursor, Page, RunFilter, RunSummary, Write};
use kser_core::{Error, RunId, Status};

use super::{Inhabitant, odd_outcome};
use crate::StoreHarness;
use crate::rules::store_sentences::sentence;

#[doc = sentence!(a_list_has_the_runs_that_fit_the_latest_first)]
pub async fn a_list_has_the_runs_that_fit_the_latest_first(harness: &StoreHarness) {
    let (mut all, mut pending, mut cancelled) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..7 {
        let run = Inhabitant::new(harness, &format!("list {number}")).await;
        all.insert(0, run.id.clone());
        match number % 3 {
            0 => {
                run.swap(Write::new(run.cancelled())).await;
                cancelled.insert(0, run.id.clone());
            }
            _ => pending.insert(0, run.id.clone()),
        }
        pause().await;
    }
    let of_operation = of_operation(harness);
    assert_eq!(ids(harness, &of_operation).await, all);
    let filter = of_operation.clone().with_status(Status::Pending);
    assert_eq!(ids(harness, &filter).await, pending);
    let filter = of_operation.clone().with_status(Status::Cancelled);
    assert_eq!(ids(harness, &filter).await, cancelled);
    let none = of_operation.clone().with_status(Status::Failed);
    assert_eq!(ids(harness, &none).await, []);
    let none = RunFilter::default().with_name(format!("{}.Other", harness.operation()));
    assert_eq!(ids(harness, &none).await, []);
    // Of any operation, those of other tests among them.
    let ours: BTreeSet<&RunId> = all.iter().collect();
    for status in [None, Some(Status::Pending)] {
        let mut filter = RunFilter::default();
        filter.status = status;
        let mut listed = ids(harness, &filter).await;
        listed.retain(|id| ours.contains(id));
        assert_eq!(&listed, if status.is_some() { &pending } else { &all });
    }
    // The time of a launch is the first in, and the end is not in.
    let rows = harness.store().list(&of_operation).await.unwrap().rows;
    let at = |index: usize| Some(rows[index].created);
    let ranges = [
        (None, at(4), &all[5..]),
        (at(2), None, &all[..3]),
        (at(4), at(1), &all[2..5]),
        (at(3), at(3), &all[..0]),
        (at(1), at(4), &all[..0]),
    ];
    for (from, until, expected) in ranges {
        let filter = of_operation.clone().with_launched(from, until);
        assert_eq!(ids(harness, &filter).await, expected);
    }
}

#[doc = sentence!(a_list_tells_the_last_write)]
pub async fn a_list_tells_the_last_write(harness: &StoreHarness) {
    let run = Inhabitant::at_step(harness, "summary", 5, 2).await;
    let row = async || {
        let page = harness.store().list(&of_operation(harness)).await.unwrap();
        assert_eq!((page.rows.len(), page.next), (1, None));
        let row = page.rows.into_iter().next().unwrap();
        let info = harness.store().run(&run.id).await.unwrap().unwrap();
        assert_eq!(row, RunSummary::from(&info));
        assert_eq!(row.to_string(), info.to_string());
        row
    };
    let new = row().await;
    assert_eq!((new.position, new.steps), (2, 5));
    assert_eq!((new.id, new.name), (run.id.clone(), harness.operation()));
    assert_eq!(new.updated, run.now());
    pause().await;
    let now = harness.store().read(&run.id).await.unwrap().now;
    let cancelled = run.cancelled_at(now);
    run.swap(Write::new(cancelled.clone())).await;
    let changed = row().await;
    assert!(changed.updated > changed.created);
    assert_eq!(changed.status, Status::Cancelled);
    assert_eq!(changed.created, new.created);
    assert_eq!(changed.updated, cancelled.updated());
}

#[doc = sentence!(a_page_has_a_cursor_if_the_list_goes_on)]
pub async fn a_page_has_a_cursor_if_the_list_goes_on(harness: &StoreHarness) {
    let filter = of_operation(harness);
    let empty = harness.store().list(&filter).await.unwrap();
    assert_eq!(empty, Page::new(Vec::new(), None));
    for number in 0..6 {
        Inhabitant::new(harness, &format!("page {number}")).await;
    }
    for (limit, pages) in [(2, 3), (4, 2), (5, 2), (6, 1), (7, 1), (0, 6)] {
        let mut filter = filter.clone().with_limit(limit);
        for page in 1..=pages {
            let listed = harness.store().list(&filter).await.unwrap();
            assert!(listed.rows.len() <= limit.max(1), "a limit of {limit}");
            assert!(!listed.rows.is_empty());
            assert_eq!(listed.next.is_some(), page < pages, "a limit of {limit}");
            filter.after = listed.next;
        }
    }
}

#[doc = sentence!(the_pages_lead_through_each_run_once)]
pub async fn the_pages_lead_through_each_run_once(harness: &StoreHarness) {
    let mut kept = Vec::new();
    for number in 0..12 {
        let run = Inhabitant::new(harness, &format!("kept {number}")).await;
        kept.insert(0, run.id.clone());
        if number % 4 == 1 {
            pause().await;
        }
    }
    for status in [None, Some(Status::Pending)] {
        let mut filter = of_operation(harness).with_limit(3);
        filter.status = status;
        let mut seen = Vec::new();
        for round in 0.. {
            let page = harness.store().list(&filter).await.unwrap();
            seen.extend(page.rows.into_iter().map(|run| run.id));
            // One run is there from now on, and one was there for a moment.
            let name = format!("beside {status:?} {round}");
            Inhabitant::new(harness, &name).await;
            let gone = Inhabitant::new(harness, &format!("{name}, purged")).await;
            gone.swap(Write::new(gone.cancelled())).await;
            assert!(gone.store.purge(&gone.id).await.unwrap());
            if page.next.is_none() {
                break;
            }
            filter.after = page.next;
        }
        seen.retain(|id| kept.contains(id));
        assert_eq!(seen, kept, "each once, with status {status:?}");
    }
}

#[doc = sentence!(a_cursor_outlives_the_run_at_its_place)]
pub async fn a_cursor_outlives_the_run_at_its_place(harness: &StoreHarness) {
    let mut all = Vec::new();
    for number in 0..5 {
        let run = Inhabitant::new(harness, &format!("place {number}")).await;
        run.swap(Write::new(run.cancelled())).await;
        all.insert(0, run.id.clone());
        pause().await;
    }
    let mut filter = of_operation(harness).with_limit(2);
    let first = harness.store().list(&filter).await.unwrap();
    for run in &first.rows {
        assert!(harness.store().purge(&run.id).await.unwrap());
    }
    filter.after = first.next;
    assert!(filter.after.is_some());
    assert_eq!(ids(harness, &filter).await, all[2..]);
}

#[doc = sentence!(a_cursor_of_another_list_is_refused)]
pub async fn a_cursor_of_another_list_is_refused(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "one").await;
    Inhabitant::new(harness, "other").await;
    write_attempts(run, 2).await;
    let store = harness.store();
    let filter = of_operation(harness).with_limit(1);
    let of_list = store.list(&filter).await.unwrap().next;
    let of_run = store.attempts(&harness.id("one"), None, 1).await;
    let of_run = of_run.unwrap().next;
    assert!(of_list.is_some() && of_run.is_some());
    let refused = |refused: Error| {
        assert!(matches!(refused, Error::Invalid { .. }), "{refused:?}");
    };
    let failed = filter.clone().with_status(Status::Failed);
    let others = [
        (&failed, &of_list),
        (&RunFilter::default(), &of_list),
        (&filter, &of_run),
    ];
    for (filter, cursor) in others {
        let filter = filter.clone().with_after(cursor.clone());
        refused(store.list(&filter).await.unwrap_err());
    }
    for (run, cursor) in [("other", &of_run), ("one", &of_list)] {
        let attempts = store.attempts(&harness.id(run), cursor.as_ref(), 1).await;
        refused(attempts.unwrap_err());
    }
    // The text of a cursor is the cursor.
    let text = of_list.unwrap().to_string();
    let again: Cursor = text.parse().unwrap();
    let rest = store.list(&filter.with_after(Some(again))).await.unwrap();
    assert_eq!(rest.rows[0].id, harness.id("one"));
}

#[doc = sentence!(a_count_stops_where_it_is_asked)]
pub async fn a_count_stops_where_it_is_asked(harness: &StoreHarness) {
    let filter = of_operation(harness);
    let count = async |filter: &RunFilter, most| harness.store().count(filter, most).await.unwrap();
    assert_eq!(count(&filter, 10).await, 0);
    for number in 0..6 {
        let run = Inhabitant::new(harness, &format!("counted {number}")).await;
        if number < 2 {
            run.swap(Write::new(run.cancelled())).await;
        }
        pause().await;
    }
    for (most, expected) in [(0, 0), (1, 1), (5, 5), (6, 6), (7, 6), (u64::MAX, 6)] {
        assert_eq!(count(&filter, most).await, expected);
    }
    let pending = filter.clone().with_status(Status::Pending);
    assert_eq!([count(&pending, 9).await, count(&pending, 3).await], [4, 3]);
    let rows = harness.store().list(&filter).await.unwrap().rows;
    let since = filter.clone().with_launched(Some(rows[2].created), None);
    assert_eq!(count(&since, 9).await, 3);
    let until = filter.clone().with_launched(None, Some(rows[2].created));
    assert_eq!(count(&until, 9).await, 3);
    // The cursor and the limit do not change a count.
    let page = harness.store().list(&filter.clone().with_limit(2)).await;
    let second = filter.with_limit(2).with_after(page.unwrap().next);
    assert_eq!(count(&second, 9).await, 6);
    assert!(
        count(&RunFilter::default(), 4).await == 4,
        "of any operation"
    );
}

/// Writes attempts, each of which is given back.
pub(super) async fn write_attempts(mut run: Inhabitant<'_>, attempts: u32) {
    use kser_core::store::Attempt;
    for attempt in 1..=attempts {
        let mut write = Write::new(run.started());
        let outcome = odd_outcome("try");
        write.attempt = Some(Attempt::new(
            0,
            "test.Run".into(),
            attempt,
            run.now(),
            outcome,
        ));
        let progress = write.progress.clone();
        run.swap(write).await;
        run.progress = progress;
        let given_back = run.given_back();
        run.swap(Write::new(given_back.clone())).await;
        run.progress = given_back;
    }
}

fn of_operation(harness: &StoreHarness) -> RunFilter {
    RunFilter::default().with_name(harness.operation())
}

/// Lists the ids of all pages.
async fn ids(harness: &StoreHarness, filter: &RunFilter) -> Vec<RunId> {
    let mut filter = filter.clone();
    let mut ids = Vec::new();
    loop {
        let page = harness.store().list(&filter).await.unwrap();
        ids.extend(page.rows.into_iter().map(|run| run.id));
        if page.next.is_none() {
            return ids;
        }
        filter.after = page.next;
    }
}

/// Waits until the time of a store is another one.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

#[doc = sentence!(runs_are_found_by_the_beginning_of_their_ids)]
pub async fn runs_are_found_by_the_beginning_of_their_ids(harness: &StoreHarness) {
    let names = [
        "found B", "found a", "found a%", "found a1", "found a2", "found b", "fount",
    ];
    for name in names.iter().rev() {
        Inhabitant::new(harness, name).await;
    }
    let found = async |prefix: &str, limit| {
        let prefix = harness.id(prefix);
        harness.store().find(prefix.as_str(), limit).await.unwrap()
    };
    let ids = |names: &[&str]| -> Vec<RunId> { names.iter().map(|it| harness.id(it)).collect() };
    assert_eq!(found("found ", 10).await, ids(&names[..6]));
    assert_eq!(found("found a", 10).await, ids(&names[1..5]));
    assert_eq!(found("found a", 2).await, ids(&names[1..3]));
    assert_eq!(found("found a", 0).await, ids(&names[1..2]));
    assert_eq!(found("found B", 10).await, ids(&names[..1]));
    assert_eq!(found("found a%", 10).await, ids(&names[2..3]));
    assert_eq!(found("found c", 10).await, []);
}
