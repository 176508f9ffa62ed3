//! Groups.

use crate::rules::transport_sentences::sentence;
use std::collections::BTreeSet;
use std::time::Duration;

use kser_core::{Room, Timestamp};
use tokio::time::{Instant, timeout};

use crate::TransportHarness;
use crate::records::{release, settle, text, texts};

#[doc = sentence!(each_group_gets_every_record)]
pub async fn each_group_gets_every_record(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut members = Vec::new();
    for group in ["a", "b", "c"] {
        members.push(harness.member(group, &topic).await);
    }
    harness.publish(&topic, None, &["1", "2", "3"]).await;
    for member in &mut members {
        let deliveries = harness.receive(&mut **member, 3).await;
        let seen: BTreeSet<_> = texts(&deliveries).into_iter().collect();
        assert_eq!(seen.len(), 3, "{seen:?}");
        for delivery in deliveries {
            settle(delivery).await;
        }
    }
}

#[doc = sentence!(members_of_a_group_share_the_records)]
///
/// Where [`shares_freely`](crate::Capabilities::shares_freely) is not declared, a busy member may hold up records without a key.
pub async fn members_of_a_group_share_the_records(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut first = harness.member("group", &topic).await;
    let mut second = harness.member("group", &topic).await;
    let all: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    harness.publish(&topic, None, &all).await;
    let mut seen = Vec::new();
    if harness.capabilities().shares_freely {
        let busy = harness.receive_one(&mut *first).await;
        let rest = harness.receive(&mut *second, all.len() - 1).await;
        for delivery in rest.into_iter().chain([busy]) {
            seen.push(text(&delivery));
            settle(delivery).await;
        }
    }
    while seen.len() < all.len() {
        let (_, received) = harness.receive_either(&mut *first, &mut *second, 3).await;
        for delivery in received {
            seen.push(text(&delivery));
            settle(delivery).await;
        }
        std::mem::swap(&mut first, &mut second);
    }
    let once: BTreeSet<_> = seen.iter().collect();
    assert_eq!(once.len(), all.len(), "each goes to one of them: {seen:?}");
    harness.nothing(&mut *first).await;
    harness.nothing(&mut *second).await;
}

#[doc = sentence!(members_get_records_of_their_own_topics)]
pub async fn members_get_records_of_their_own_topics(harness: &TransportHarness) {
    let (a, b) = (harness.topic().await, harness.topic().await);
    let mut of_a = harness.member("group", &a).await;
    let mut of_b = harness.member("group", &b).await;
    harness.publish(&a, None, &["a", "a", "a"]).await;
    harness.nothing(&mut *of_b).await;
    harness.publish(&b, None, &["b"]).await;
    for (member, expected, count) in [(&mut of_b, "b", 1), (&mut of_a, "a", 3)] {
        for delivery in harness.receive(&mut **member, count).await {
            assert_eq!(text(&delivery), expected);
            settle(delivery).await;
        }
        harness.nothing(&mut **member).await;
    }
}

#[doc = sentence!(an_observer_sees_what_comes_after_it)]
pub async fn an_observer_sees_what_comes_after_it(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    harness.publish(&topic, Some("key"), &["before"]).await;
    let mut gone = harness.observer(&topic).await;
    let mut observer = harness.observer(&topic).await;
    harness.publish(&topic, Some("key"), &["a", "b"]).await;
    // Without settling: an observer is not held back.
    let observed = harness.receive(&mut *observer, 2).await;
    assert_eq!(texts(&observed), ["a", "b"]);
    for delivery in observed {
        settle(delivery).await;
    }
    let also = harness.receive(&mut *gone, 2).await;
    assert_eq!(texts(&also), ["a", "b"], "observers share with nobody");
    also.into_iter().for_each(release);
    drop(gone);
    harness.nothing(&mut *observer).await;
    for expected in ["before", "a", "b"] {
        let delivery = harness.receive_one(&mut *member).await;
        assert_eq!(
            (text(&delivery).as_str(), delivery.crash_count),
            (expected, 0)
        );
        settle(delivery).await;
    }
}

#[doc = sentence!(an_observer_that_looks_back_gets_what_is_still_there)]
pub async fn an_observer_that_looks_back_gets_what_is_still_there(harness: &TransportHarness) {
    let topic = harness.observed_topic().await;
    harness.publish(&topic, Some("key"), &["a", "b"]).await;
    let Some(mut of_all) = harness.observer_since(&topic, Timestamp::default()).await else {
        return;
    };
    let later = harness.now() + Duration::from_secs(3600);
    let of_later = harness.observer_since(&topic, later).await;
    let mut of_later = of_later.expect("the backend looks back");
    harness.publish(&topic, Some("key"), &["c"]).await;
    for (observer, expected) in [(&mut of_all, &["a", "b", "c"][..]), (&mut of_later, &["c"])] {
        let observed = harness.receive(&mut **observer, expected.len()).await;
        assert_eq!(texts(&observed), expected);
        observed.into_iter().for_each(release);
    }
}

#[doc = sentence!(an_observer_that_looks_back_knows_when_it_has_everything)]
pub async fn an_observer_that_looks_back_knows_when_it_has_everything(harness: &TransportHarness) {
    let topic = harness.observed_topic().await;
    harness.publish(&topic, Some("key"), &["a", "b", "c"]).await;
    let observer = harness.observer_since(&topic, Timestamp::default()).await;
    let Some(mut observer) = observer else {
        return;
    };
    let end = Instant::now() + harness.capabilities().patience;
    let mut observed = Vec::new();
    loop {
        // Asked before the receive, which then finds all that was handed out.
        let has_everything = observer.health().lag == Some(0);
        let received = observer.receive(Room::records(10));
        match timeout(Duration::from_millis(100), received).await {
            Ok(received) => observed.extend(received.expect("deliveries are received")),
            Err(_) if has_everything => break,
            Err(_) => assert!(
                Instant::now() < end,
                "the lag is {:?}",
                observer.health().lag
            ),
        }
    }
    assert_eq!(texts(&observed), ["a", "b", "c"]);
    observed.into_iter().for_each(release);
}
