//! Looking.

use crate::rules::transport_sentences::sentence;
use std::sync::Arc;

use kser_core::{Inspect, RecordPlace, Room, Topic, UnsettledQuery, UnsettledRecord};
use tokio::time::{Instant, sleep};

use crate::TransportHarness;
use crate::records::{settle, text};

/// The group of the members, and another.
const GROUP: &str = "group";
const OTHER: &str = "other";

/// Opens the view of the backend; `None` where it has none, which keeps every rule.
fn inspect(harness: &TransportHarness) -> Option<Arc<dyn Inspect>> {
    harness.transport().inspect()
}

/// Reads a view to its end, a few records at a time.
async fn read(inspect: &dyn Inspect, query: UnsettledQuery) -> Vec<UnsettledRecord> {
    let mut view = inspect.unsettled(query).await.expect("a view is opened");
    let mut all = Vec::new();
    loop {
        let page = view.next(Room::records(3)).await.expect("a view is read");
        assert!(page.len() <= 3, "3 were asked for: {}", page.len());
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Reads what a group has not settled.
async fn shown(harness: &TransportHarness, group: &str, topic: &Topic) -> Vec<UnsettledRecord> {
    let inspect = inspect(harness).expect("the backend shows its records");
    let group = harness.group_name(group);
    read(&*inspect, UnsettledQuery::new(group, topic.clone())).await
}

fn payloads(shown: &[UnsettledRecord]) -> Vec<String> {
    let payload = |shown: &UnsettledRecord| {
        let payload = shown.record.payload.as_deref().unwrap_or_default();
        String::from_utf8_lossy(payload).into_owned()
    };
    let mut payloads: Vec<_> = shown.iter().map(payload).collect();
    payloads.sort();
    payloads
}

/// Waits until this is shown: a backend may acknowledge a settled delivery some time later.
async fn shows(harness: &TransportHarness, topic: &Topic, expected: &[&str]) {
    let deadline = Instant::now() + harness.capabilities().patience;
    loop {
        let shown = payloads(&shown(harness, GROUP, topic).await);
        if shown == expected {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{expected:?} are not settled, and these are shown: {shown:?}"
        );
        sleep(harness.capabilities().patience / 100).await;
    }
}

#[doc = sentence!(looking_takes_nothing)]
pub async fn looking_takes_nothing(harness: &TransportHarness) {
    if inspect(harness).is_none() {
        return;
    }
    let topic = harness.topic().await;
    harness.publish(&topic, Some("k"), &["a", "b"]).await;
    harness.publish(&topic, None, &["c", "d"]).await;
    assert_eq!(shown(harness, GROUP, &topic).await.len(), 4);
    let mut member = harness.member(GROUP, &topic).await;
    let first = harness.receive_one(&mut *member).await;
    for _ in 0..3 {
        assert_eq!(shown(harness, GROUP, &topic).await.len(), 4);
    }
    assert!(!first.revoked.is_cancelled(), "the delivery stays");
    let mut received = vec![text(&first)];
    settle(first).await;
    for _ in 0..3 {
        let delivery = harness.receive_one(&mut *member).await;
        assert_eq!(delivery.crash_count, 0);
        received.push(text(&delivery));
        shown(harness, GROUP, &topic).await;
        settle(delivery).await;
    }
    received.sort();
    assert_eq!(received, ["a", "b", "c", "d"]);
    harness.nothing(&mut *member).await;
}

#[doc = sentence!(shows_what_is_not_settled)]
pub async fn shows_what_is_not_settled(harness: &TransportHarness) {
    if inspect(harness).is_none() {
        return;
    }
    let topic = harness.topic().await;
    let mut member = harness.member(GROUP, &topic).await;
    let mut records = vec![];
    for (key, payload) in [(Some("k"), "a"), (Some("k"), "b"), (None, "c"), (None, "d")] {
        let record = crate::records::record(&topic, key, payload);
        records.push(record.with_header("h", bytes::Bytes::from_static(b"1")));
    }
    let published = harness.transport().publish(records.clone()).await;
    published.expect("records are published");
    shows(harness, &topic, &["a", "b", "c", "d"]).await;
    let of_group = shown(harness, GROUP, &topic).await;
    for shown in &of_group {
        assert!(records.contains(&shown.record), "{:?}", shown.record);
    }
    let mut places: Vec<_> = of_group.iter().map(|shown| shown.place).collect();
    let in_order = places.is_sorted();
    places.dedup();
    assert!(
        in_order && places.len() == 4,
        "each once, by place: {places:?}"
    );
    // The second record of the key waits for the first where keys are held back.
    let (mut count, mut held) = (0, None);
    while count < 4 {
        for delivery in harness.receive_some(&mut *member, Room::records(4)).await {
            count += 1;
            match text(&delivery).as_str() {
                "c" => held = Some(delivery),
                _ => settle(delivery).await,
            }
        }
    }
    shows(harness, &topic, &["c"]).await;
    settle(held.expect("it was received")).await;
    shows(harness, &topic, &[]).await;
}

#[doc = sentence!(a_view_begins_after_a_place)]
pub async fn a_view_begins_after_a_place(harness: &TransportHarness) {
    let Some(inspect) = inspect(harness) else {
        return;
    };
    let topic = harness.topic().await;
    let names: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    harness.publish(&topic, None, &names).await;
    let query = UnsettledQuery::new(harness.group_name(GROUP), topic.clone());
    let mut view = inspect.unsettled(query.clone()).await.expect("a view");
    let first = view.next(Room::records(2)).await.expect("a view is read");
    harness.publish(&topic, None, &["later"]).await;
    let mut rest = Vec::new();
    loop {
        let page = view.next(Room::records(2)).await.expect("a view is read");
        if page.is_empty() {
            break;
        }
        rest.extend(page);
    }
    let all: Vec<_> = first.iter().chain(&rest).cloned().collect();
    assert_eq!(payloads(&all), names, "the view has what was there");
    let last: RecordPlace = first.last().expect("two were shown").place;
    let mut again = read(&*inspect, query.after(last)).await;
    again.retain(|shown| shown.record.payload.as_deref() != Some(b"later"));
    assert_eq!(again, rest, "a view goes on after a place");
}

#[doc = sentence!(shows_all_records_before_the_first_group)]
pub async fn shows_all_records_before_the_first_group(harness: &TransportHarness) {
    if inspect(harness).is_none() {
        return;
    }
    let topic = harness.topic().await;
    assert_eq!(shown(harness, GROUP, &topic).await, []);
    harness.publish(&topic, Some("k"), &["a", "b"]).await;
    for group in [GROUP, OTHER] {
        assert_eq!(payloads(&shown(harness, group, &topic).await), ["a", "b"]);
    }
}

#[doc = sentence!(counts_what_is_not_settled)]
pub async fn counts_what_is_not_settled(harness: &TransportHarness) {
    let Some(inspect) = inspect(harness) else {
        return;
    };
    let topic = harness.topic().await;
    let mut member = harness.member(GROUP, &topic).await;
    harness.publish(&topic, Some("k"), &["a", "b", "c"]).await;
    let group = harness.group_name(GROUP);
    for left in [3, 2, 1, 0] {
        let deadline = Instant::now() + harness.capabilities().patience;
        loop {
            let count = count(&*inspect, &group, &topic).await;
            if count == left {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "{left} are not settled, and {count} are counted"
            );
            sleep(harness.capabilities().patience / 100).await;
        }
        if left > 0 {
            settle(harness.receive_one(&mut *member).await).await;
        }
    }
}

/// Counts the offsets of a topic that a group has not settled.
async fn count(inspect: &dyn Inspect, group: &str, topic: &Topic) -> u64 {
    let progress = inspect.progress(group, topic).await;
    let progress = progress.expect("the progress is read");
    for of in &progress {
        let below = of.settled_below.unwrap_or(of.start);
        assert!(of.start <= of.end && below <= of.end, "{of:?}");
    }
    assert!(progress.is_sorted_by_key(|of| of.partition), "{progress:?}");
    progress.iter().map(|of| of.unsettled).sum()
}

#[doc = sentence!(lists_topics_and_groups)]
pub async fn lists_topics_and_groups(harness: &TransportHarness) {
    let Some(inspect) = inspect(harness) else {
        return;
    };
    let (one, two) = (harness.topic().await, harness.topic().await);
    let member = harness.member(GROUP, &one).await;
    harness.publish(&two, None, &["a"]).await;
    let topics = inspect.topics().await.expect("topics are listed");
    assert!(topics.is_sorted(), "{topics:?}");
    for topic in [&one, &two] {
        assert!(topics.contains(topic), "{topic} is missing: {topics:?}");
    }
    let group = harness.group_name(GROUP);
    let deadline = Instant::now() + harness.capabilities().patience;
    while !inspect
        .groups()
        .await
        .expect("groups are listed")
        .contains(&group)
    {
        assert!(Instant::now() < deadline, "{group} is missing");
        sleep(harness.capabilities().patience / 100).await;
    }
    harness.close(member).await;
}
