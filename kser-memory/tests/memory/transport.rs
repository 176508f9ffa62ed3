//! What this transport does beyond the contract.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use bytes::Bytes;
use kser_core::{
    Clock, Delivery, Error, Interest, Record, Room, Subscription, Topic, TopicSpec, Transport,
};
use kser_memory::MemoryTransport;
use tokio::time::timeout;

fn topic() -> Topic {
    Topic::new("dice").unwrap()
}

fn record(payload: &str) -> Record {
    Record::new(topic(), Some(Bytes::copy_from_slice(payload.as_bytes())))
}

fn member(instance: Option<&str>) -> Interest {
    Interest::group("croupiers", vec![topic()]).with_instance(instance.map(str::to_owned))
}

async fn join(transport: &MemoryTransport) -> Box<dyn Subscription> {
    transport.subscribe(member(None)).await.unwrap()
}

async fn publish(transport: &MemoryTransport, record: Record) {
    transport.publish(vec![record]).await.unwrap();
}

async fn receive(member: &mut Box<dyn Subscription>) -> Result<Vec<Delivery>, Error> {
    member.receive(Room::records(10)).await
}

#[tokio::test(start_paused = true)]
async fn who_is_dropped_while_woken_wakes_the_next() {
    let transport = MemoryTransport::new();
    let (mut first, mut second) = (join(&transport).await, join(&transport).await);
    let waiting = {
        let mut woken = std::pin::pin!(receive(&mut first));
        assert!(poll_once(woken.as_mut()).await.is_pending());
        let waiting = tokio::spawn(async move { receive(&mut second).await.unwrap().len() });
        tokio::task::yield_now().await;
        // It wakes who has waited longest, and that one does not come.
        publish(&transport, record("a")).await;
        waiting
    };
    let received = timeout(Duration::from_secs(1), waiting).await;
    assert_eq!(received.unwrap().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_record_finds_who_waits_when_the_one_with_the_timer_is_gone() {
    let transport = MemoryTransport::new();
    let (mut first, mut other) = (join(&transport).await, join(&transport).await);
    let second = Duration::from_secs(1);
    let impatient =
        tokio::spawn(async move { timeout(second, receive(&mut first)).await.is_err() });
    tokio::task::yield_now().await;
    let patient = tokio::spawn(async move { receive(&mut other).await.unwrap().len() });
    tokio::task::yield_now().await;
    let due = transport.clock().now() + 60 * second;
    publish(&transport, record("later").with_not_before(Some(due))).await;
    assert!(impatient.await.unwrap());
    assert_eq!(timeout(60 * second, patient).await.unwrap().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_takes_less_than_there_is_wakes_the_next() {
    let transport = MemoryTransport::new();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let mut member = join(&transport).await;
        tasks.spawn(async move { member.receive(Room::records(1)).await.unwrap().len() });
    }
    tokio::task::yield_now().await;
    let batch = ["a", "b", "c"].map(record);
    transport.publish(batch.into()).await.unwrap();
    let all = timeout(Duration::from_secs(1), tasks.join_all()).await;
    assert_eq!(all.unwrap(), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_member_of_the_same_instance_takes_over() {
    let transport = MemoryTransport::new();
    let mut old = transport.subscribe(member(Some("one"))).await.unwrap();
    publish(&transport, record("a")).await;
    let held = receive(&mut old).await.unwrap().remove(0);
    let mut new = transport.subscribe(member(Some("one"))).await.unwrap();
    assert!(held.revoked.is_cancelled());
    assert!(held.ticket.settle(Vec::new()).await.unwrap().is_lost());
    let again = receive(&mut new).await.unwrap().remove(0);
    assert_eq!(again.crash_count, 1);
    let error = receive(&mut old).await.unwrap_err();
    assert!(matches!(error, Error::Superseded { instance } if instance == "one"));
    // The end of the old one takes nothing from the new one.
    drop(old);
    assert!(!again.revoked.is_cancelled());
    assert!(!again.ticket.settle(Vec::new()).await.unwrap().is_lost());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_waits_is_told_that_it_is_superseded() {
    let transport = MemoryTransport::new();
    let mut old = transport.subscribe(member(Some("one"))).await.unwrap();
    let waiting = tokio::spawn(async move { receive(&mut old).await.unwrap_err() });
    tokio::task::yield_now().await;
    let _new = transport.subscribe(member(Some("one"))).await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Error::Superseded { .. }));
}

#[tokio::test(start_paused = true)]
async fn members_of_other_instances_share() {
    let transport = MemoryTransport::new();
    let mut one = transport.subscribe(member(Some("one"))).await.unwrap();
    let _two = transport.subscribe(member(Some("two"))).await.unwrap();
    publish(&transport, record("a")).await;
    let held = receive(&mut one).await.unwrap().remove(0);
    assert!(!held.ticket.settle(Vec::new()).await.unwrap().is_lost());
}

#[tokio::test(start_paused = true)]
async fn a_topic_for_observers_keeps_nothing_for_those_who_come_later() {
    let transport = MemoryTransport::new();
    publish(&transport, record("before it was declared")).await;
    let spec = TopicSpec::observed(topic());
    transport.ensure_topics(&[spec]).await.unwrap();
    publish(&transport, record("to nobody")).await;
    let mut member = join(&transport).await;
    assert_eq!(member.health().lag, Some(0));
    publish(&transport, record("to a member")).await;
    let received = receive(&mut member).await.unwrap();
    assert_eq!(
        received[0].record.payload.as_deref(),
        Some(&b"to a member"[..])
    );
    // The last member takes the group with it.
    drop(member);
    received.into_iter().for_each(|delivery| {
        let _ = delivery.ticket.release(None);
    });
    publish(&transport, record("to nobody again")).await;
    assert_eq!(join(&transport).await.health().lag, Some(0));
}

#[tokio::test(start_paused = true)]
async fn an_observer_takes_nothing_from_the_first_group() {
    let transport = MemoryTransport::new();
    let everything = Interest::everything(vec![topic()]);
    let mut observer = transport.subscribe(everything).await.unwrap();
    publish(&transport, record("a")).await;
    let seen = receive(&mut observer).await.unwrap().remove(0);
    let _ = seen.ticket.settle(Vec::new()).await.unwrap();
    assert_eq!(receive(&mut join(&transport).await).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_observer_sees_all_of_a_key_at_once_and_in_order() {
    let transport = MemoryTransport::new();
    let everything = Interest::everything(vec![topic(), topic()]);
    let mut observer = transport.subscribe(everything).await.unwrap();
    for payload in ["a", "b", "c"] {
        publish(&transport, record(payload).with_key("run")).await;
    }
    let seen = receive(&mut observer).await.unwrap();
    let payloads = seen.iter().map(|d| d.record.payload.clone().unwrap());
    assert_eq!(payloads.collect::<Vec<_>>(), ["a", "b", "c"]);
    for delivery in seen {
        let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn health_tells_what_waits_and_for_how_long() {
    let transport = MemoryTransport::new();
    let mut member = join(&transport).await;
    assert_eq!(member.health().oldest_waiting, None);
    publish(&transport, record("a").with_key("k")).await;
    tokio::time::advance(Duration::from_secs(5)).await;
    publish(&transport, record("b").with_key("k")).await;
    tokio::time::advance(Duration::from_secs(2)).await;
    let health = member.health();
    assert_eq!(health.assigned, [(topic(), 0)]);
    assert_eq!(health.lag, Some(2));
    assert_eq!(health.oldest_waiting, Some(Duration::from_secs(7)));
    let held = receive(&mut member).await.unwrap().remove(0);
    // The one that is behind it in its key waits still.
    assert_eq!(member.health().lag, Some(1));
    let oldest = member.health().oldest_waiting;
    assert_eq!(oldest, Some(Duration::from_secs(2)));
    let _ = held.ticket.release(None);
    assert_eq!(member.health().lag, Some(2));
    let oldest = member.health().oldest_waiting;
    assert_eq!(oldest, Some(Duration::from_secs(7)));
}

#[tokio::test(start_paused = true)]
async fn a_settle_with_an_output_that_is_too_large_does_nothing() {
    let transport = MemoryTransport::with_largest_record(10);
    let mut member = join(&transport).await;
    publish(&transport, record("a")).await;
    let delivery = receive(&mut member).await.unwrap().remove(0);
    let outputs = vec![record("small"), record("over the limit")];
    let refused = delivery.ticket.settle(outputs).await.unwrap_err();
    assert!(matches!(
        refused.source,
        Error::TooLarge {
            size: 14,
            limit: 10,
            ..
        }
    ));
    assert_eq!(member.health().lag, Some(0));
    let settled = refused.ticket.settle(vec![record("small")]).await.unwrap();
    assert!(!settled.is_lost());
    assert_eq!(member.health().lag, Some(1));
}

#[test]
fn without_delays_it_needs_no_runtime() {
    let transport = MemoryTransport::new();
    let mut done = std::pin::pin!(async {
        publish(&transport, record("a")).await;
        let delivery = receive(&mut join(&transport).await)
            .await
            .unwrap()
            .remove(0);
        delivery.record.payload
    });
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = done.as_mut().poll(&mut cx);
    assert_eq!(polled, std::task::Poll::Ready(Some(Bytes::from("a"))));
}

/// Polls once.
async fn poll_once<T>(
    mut future: std::pin::Pin<&mut impl Future<Output = T>>,
) -> std::task::Poll<T> {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await
}
