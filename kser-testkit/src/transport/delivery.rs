//! Delivery.

use crate::rules::transport_sentences::sentence;
use std::collections::BTreeSet;

use bytes::Bytes;
use kser_core::{Record, Room};

use crate::records::{record, release, settle, text, texts};
use crate::{TransportHarness, Which};

#[doc = sentence!(delivers_to_one_member_of_each_group)]
pub async fn delivers_to_one_member_of_each_group(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut one = harness.member("one", &topic).await;
    let mut other = harness.member("other", &topic).await;
    harness.publish(&topic, None, &["a"]).await;
    for member in [&mut one, &mut other] {
        let delivery = harness.receive_one(&mut **member).await;
        assert_eq!(text(&delivery), "a");
        release(delivery);
        let delivery = harness.receive_one(&mut **member).await;
        assert_eq!(text(&delivery), "a", "it was not settled");
        settle(delivery).await;
        harness.nothing(&mut **member).await;
    }
}

#[doc = sentence!(loses_nothing_when_members_come_and_go)]
///
/// Members stop in every way here while they hold records.
pub async fn loses_nothing_when_members_come_and_go(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut waiting = BTreeSet::new();
    for number in 0..40_usize {
        let text = number.to_string();
        let key = (number % 4 > 0).then(|| format!("key {}", number % 4));
        harness.publish(&topic, key.as_deref(), &[&text]).await;
        waiting.insert(text);
    }
    let mut dead = Vec::new();
    for round in 0.. {
        let mut member = harness.member("group", &topic).await;
        for number in 0..5 {
            if waiting.is_empty() {
                harness.nothing(&mut *member).await;
                dead.into_iter().for_each(release);
                // A late release by a crashed member brings nothing back.
                return harness.nothing(&mut *member).await;
            }
            let delivery = harness.receive_one(&mut *member).await;
            match (round + number) % 3 {
                0 => release(delivery),
                _ => {
                    let text = text(&delivery);
                    settle(delivery).await;
                    let once = waiting.remove(&text);
                    assert!(once, "{text} was settled before, and comes again");
                }
            }
        }
        match round % 2 {
            1 if !waiting.is_empty() => {
                let held = harness.receive_some(&mut *member, Room::records(3)).await;
                dead.extend(held);
                drop(member);
            }
            _ => harness.close(member).await,
        }
        harness.takeover().await;
    }
}

#[doc = sentence!(delivers_what_was_published)]
pub async fn delivers_what_was_published(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    let mut odd = Record::new(topic.clone(), Some(Bytes::from_static(b"\x00\xffbytes")));
    odd = odd.with_key(vec![0, 255, b'k']).with_header("twice", "1");
    odd = odd.with_header("other", vec![0, 255]);
    odd = odd.with_header("twice", "2").with_header("", "\u{eb}");
    let mut many = record(&topic, None, "many headers");
    for number in 0..1000 {
        many = many.with_header(format!("header {number}"), number.to_string());
    }
    let largest = harness.describe().await.largest_record;
    let large = Record::new(topic, Some(Bytes::from(vec![b'x'; largest])));
    for record in [odd, many, large] {
        let records = vec![record.clone()];
        let published = harness.transport().publish(records).await;
        published.expect("a record of the largest size is published");
        let delivery = harness.receive_one(&mut *member).await;
        let (size, expected) = (delivery.record.size(), record.size());
        assert_eq!(size, expected, "as many bytes as were published");
        assert!(
            delivery.record == record,
            "what was published: {:?}",
            record.headers
        );
        settle(delivery).await;
    }
}

#[doc = sentence!(keeps_absent_apart_from_empty)]
pub async fn keeps_absent_apart_from_empty(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    let mut absent = Record::new(topic.clone(), None);
    absent.headers = vec![("none".into(), None), ("empty".into(), Some(Bytes::new()))];
    let empty = Record::new(topic, Some(Bytes::new())).with_key("");
    for record in [absent, empty] {
        let records = vec![record.clone()];
        harness.transport().publish(records).await.unwrap();
        let delivery = harness.receive_one(&mut *member).await;
        assert_eq!(delivery.record, record);
        settle(delivery).await;
    }
}

#[doc = sentence!(delivers_what_was_published_before_the_first_group_joined)]
pub async fn delivers_what_was_published_before_the_first_group_joined(harness: &TransportHarness) {
    let topic = harness.topic().await;
    harness.publish(&topic, Some("key"), &["a", "b"]).await;
    let mut member = harness.member("group", &topic).await;
    for expected in ["a", "b"] {
        let delivery = harness.receive_one(&mut *member).await;
        assert_eq!(text(&delivery), expected);
        settle(delivery).await;
    }
}

#[doc = sentence!(gives_a_delivery_to_one_member_at_a_time)]
pub async fn gives_a_delivery_to_one_member_at_a_time(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut first = harness.member("group", &topic).await;
    let mut second = harness.member("group", &topic).await;
    harness.publish(&topic, None, &["a"]).await;
    let (which, mut held) = harness.receive_either(&mut *first, &mut *second, 1).await;
    let other = match which {
        Which::First => &mut second,
        Which::Second => &mut first,
    };
    harness.nothing(&mut **other).await;
    // A member that joins may take the delivery over, if its holder is told and can settle it no more.
    let mut third = harness.member("group", &topic).await;
    let wait = tokio::time::timeout(
        harness.capabilities().quiet,
        third.receive(Room::records(1)),
    );
    let taken = wait.await.map(|taken| texts(&taken.unwrap())).ok();
    let held = held.remove(0);
    let told = held.revoked.is_cancelled();
    let settled = held.ticket.settle(Vec::new()).await.unwrap();
    match taken {
        Some(taken) => assert!(
            told && settled.is_lost(),
            "two members hold {taken:?}, and the first was told: {told}"
        ),
        // The delivery may be on its way to another member.
        None => assert!(
            told || !settled.is_lost(),
            "it is lost, and nobody was told"
        ),
    }
}
