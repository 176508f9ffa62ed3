//! Limits.

use crate::rules::transport_sentences::sentence;
use bytes::Bytes;
use kser_core::{Record, Room, Topic};

use crate::TransportHarness;
use crate::records::{record, settle, text, texts};

#[doc = sentence!(refuses_a_record_that_is_too_large)]
pub async fn refuses_a_record_that_is_too_large(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    let large = too_large(harness, &topic).await;
    let records = vec![
        record(&topic, Some("k"), "a"),
        large,
        record(&topic, Some("k"), "b"),
    ];
    let published = harness.transport().publish(records).await;
    let refused = published.expect_err("a record that is too large is refused");
    let [(1, error)] = refused.failed.as_slice() else {
        panic!("the second record is refused: {refused:?}");
    };
    assert!(error.is_too_large(), "it is refused as too large: {error}");
    for expected in ["a", "b"] {
        let delivery = harness.receive_one(&mut *member).await;
        assert_eq!(text(&delivery), expected);
        settle(delivery).await;
    }
}

/// Makes a record that no topic takes: a transport may take somewhat more than `Description::largest_record`.
pub(super) async fn too_large(harness: &TransportHarness, topic: &Topic) -> Record {
    let largest = harness.describe().await.largest_record;
    Record::new(topic.clone(), Some(Bytes::from(vec![b'x'; largest * 2])))
}

#[doc = sentence!(returns_no_more_records_than_were_asked_for)]
pub async fn returns_no_more_records_than_were_asked_for(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    harness.publish(&topic, None, &["a"; 10]).await;
    let mut seen = 0;
    while seen < 10 {
        let received = harness.receive_some(&mut *member, Room::records(3)).await;
        assert!(
            received.len() <= 3,
            "3 were asked for: {:?}",
            texts(&received)
        );
        seen += received.len();
        for delivery in received {
            settle(delivery).await;
        }
    }
}

#[doc = sentence!(returns_no_more_bytes_than_were_asked_for)]
pub async fn returns_no_more_bytes_than_were_asked_for(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    harness.publish(&topic, None, &["12345"; 4]).await;
    let room = Room::new(10, 6);
    let mut seen = 0;
    while seen < 4 {
        let received = harness.receive_some(&mut *member, room).await;
        assert!(
            received.len() <= 2,
            "two records of 5 bytes reach 6: {:?}",
            texts(&received)
        );
        seen += received.len();
        for delivery in received {
            settle(delivery).await;
        }
    }
    // A record that is larger than the room comes alone: it must not wait for ever.
    harness.publish(&topic, None, &["123456789"]).await;
    let received = harness.receive_some(&mut *member, room).await;
    for delivery in received {
        settle(delivery).await;
    }
}
