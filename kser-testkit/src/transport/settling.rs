//! Settling.

use crate::rules::transport_sentences::sentence;
use kser_core::{NotSettled, Record, Settling, Ticket};

use super::limits::too_large;
use crate::TransportHarness;
use crate::records::{record, release, settle, settle_with, text, texts};

#[doc = sentence!(a_settled_delivery_does_not_come_back)]
pub async fn a_settled_delivery_does_not_come_back(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    harness.publish(&topic, Some("key"), &["a"]).await;
    settle(harness.receive_one(&mut *member).await).await;
    harness.nothing(&mut *member).await;
    drop(member);
    harness.takeover().await;
    let mut again = harness.member("group", &topic).await;
    harness.nothing(&mut *again).await;
}

#[doc = sentence!(publishes_the_outputs_of_a_settle)]
pub async fn publishes_the_outputs_of_a_settle(harness: &TransportHarness) {
    let (input, output) = (harness.topic().await, harness.topic().await);
    let mut member = harness.member("group", &input).await;
    let mut next = harness.member("next", &output).await;
    harness.publish(&input, None, &["a"]).await;
    let delivery = harness.receive_one(&mut *member).await;
    let outputs = vec![
        record(&output, Some("k"), "b"),
        record(&output, Some("k"), "c"),
    ];
    settle_with(delivery, outputs).await;
    for expected in ["b", "c"] {
        let delivery = harness.receive_one(&mut *next).await;
        assert_eq!(text(&delivery), expected);
        settle(delivery).await;
    }
    harness.nothing(&mut *next).await;
}

#[doc = sentence!(publishes_outputs_before_what_comes_after_the_settle)]
///
/// Records that are published after it come behind them.
pub async fn publishes_outputs_before_what_comes_after_the_settle(harness: &TransportHarness) {
    let (input, output) = (harness.topic().await, harness.topic().await);
    let mut member = harness.member("group", &input).await;
    let mut next = harness.member("next", &output).await;
    harness.publish(&input, None, &["a"; 10]).await;
    let mut expected = Vec::new();
    for number in 0..10 {
        let delivery = harness.receive_one(&mut *member).await;
        let [sent, after] = [format!("output {number}"), format!("record {number}")];
        settle_with(delivery, vec![record(&output, Some("key"), &sent)]).await;
        harness.publish(&output, Some("key"), &[&after]).await;
        expected.extend([sent, after]);
    }
    for expected in expected {
        let delivery = harness.receive_one(&mut *next).await;
        assert_eq!(text(&delivery), expected);
        settle(delivery).await;
    }
}

#[doc = sentence!(settles_only_what_has_its_outputs_published)]
pub async fn settles_only_what_has_its_outputs_published(harness: &TransportHarness) {
    let (input, output) = (harness.topic().await, harness.topic().await);
    let mut member = harness.member("group", &input).await;
    harness.publish(&input, None, &["a"]).await;
    let delivery = harness.receive_one(&mut *member).await;
    let ticket = refused(
        harness,
        delivery.ticket,
        vec![too_large(harness, &output).await],
    )
    .await;
    let _ = ticket.release(None);
    let delivery = harness.receive_one(&mut *member).await;
    assert_eq!(text(&delivery), "a");
    settle(delivery).await;
}

#[doc = sentence!(settles_all_or_nothing)]
///
/// Where it is `InOrder`, outputs may be published twice.
pub async fn settles_all_or_nothing(harness: &TransportHarness) {
    let (input, output) = (harness.topic().await, harness.topic().await);
    let mut member = harness.member("group", &input).await;
    let mut next = harness.member("next", &output).await;
    harness.publish(&input, None, &["a"]).await;
    let delivery = harness.receive_one(&mut *member).await;
    let outputs = vec![
        record(&output, Some("key"), "b"),
        too_large(harness, &output).await,
    ];
    let ticket = refused(harness, delivery.ticket, outputs).await;
    let together = harness.describe().await.settling == Settling::Together;
    if together {
        harness.nothing(&mut *next).await;
    }
    let outputs = ["b", "c"].map(|text| record(&output, Some("key"), text));
    let settled = ticket.settle(outputs.to_vec()).await.unwrap();
    assert!(
        !settled.is_lost(),
        "it is still ours after a refused settle"
    );
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "c") {
        let delivery = harness.receive_one(&mut *next).await;
        seen.push(text(&delivery));
        settle(delivery).await;
    }
    match together {
        true => assert_eq!(seen, ["b", "c"]),
        false => assert!(seen == ["b", "c"] || seen == ["b", "b", "c"], "{seen:?}"),
    }
}

/// Settles with outputs of which one is too large.
async fn refused(harness: &TransportHarness, ticket: Ticket, outputs: Vec<Record>) -> Ticket {
    let settled = tokio::time::timeout(harness.capabilities().patience, ticket.settle(outputs));
    match settled.await.expect("a settle returns in time") {
        Err(NotSettled { ticket, .. }) => ticket,
        Ok(_) => panic!("a settle whose output is too large is refused, and gives the ticket back"),
    }
}

#[doc = sentence!(orders_the_outputs_of_a_key_by_their_settles)]
pub async fn orders_the_outputs_of_a_key_by_their_settles(harness: &TransportHarness) {
    let (input, output) = (harness.topic().await, harness.topic().await);
    let mut member = harness.member("group", &input).await;
    let mut next = harness.member("next", &output).await;
    harness.publish(&input, None, &["a", "b", "c"]).await;
    let held = harness.receive(&mut *member, 3).await;
    let order = texts(&held);
    let settles = held.into_iter().map(|delivery| {
        let outputs = vec![record(&output, Some("key"), &text(&delivery))];
        async move { settle_with(delivery, outputs).await }
    });
    let mut settles: Vec<_> = settles.map(Box::pin).collect();
    // Polled in order, whether each is ready or not.
    let mut done = 0;
    std::future::poll_fn(|cx| {
        settles.retain_mut(|settle| {
            let ready = settle.as_mut().poll(cx).is_ready();
            done += usize::from(ready);
            !ready
        });
        match done {
            3 => std::task::Poll::Ready(()),
            _ => std::task::Poll::Pending,
        }
    })
    .await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let delivery = harness.receive_one(&mut *next).await;
        seen.push(text(&delivery));
        settle(delivery).await;
    }
    assert_eq!(seen, order);
}

#[doc = sentence!(a_settle_of_another_members_delivery_publishes_nothing)]
pub async fn a_settle_of_another_members_delivery_publishes_nothing(harness: &TransportHarness) {
    let (input, output) = (harness.topic().await, harness.topic().await);
    let mut next = harness.member("next", &output).await;
    let mut gone = harness.member("group", &input).await;
    harness.publish(&input, None, &["a"]).await;
    let held = harness.receive_one(&mut *gone).await;
    drop(gone);
    harness.takeover().await;
    let mut member = harness.member("group", &input).await;
    let delivery = harness.receive_one(&mut *member).await;
    let settled = held
        .ticket
        .settle(vec![record(&output, None, "late")])
        .await;
    assert!(
        settled.unwrap().is_lost(),
        "the one who was dropped does not own it"
    );
    harness.nothing(&mut *next).await;
    settle(delivery).await;
}

#[doc = sentence!(many_tasks_settle_at_once)]
pub async fn many_tasks_settle_at_once(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    let texts: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    harness.publish(&topic, None, &texts).await;
    let held = harness.receive(&mut *member, 50).await;
    let mut tasks = tokio::task::JoinSet::new();
    for (number, delivery) in held.into_iter().enumerate() {
        tasks.spawn(async move {
            match number % 2 {
                0 => settle(delivery).await,
                _ => release(delivery),
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for delivery in harness.receive(&mut *member, 25).await {
        settle(delivery).await;
    }
    harness.nothing(&mut *member).await;
}
