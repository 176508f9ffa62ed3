//! The lag of a member, on real Kafka.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use crate::common::{self, admin, publish, receive, topic};
use kser_core::{Clock, Interest, Room, Subscription, Timestamp, Transport};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// Waits until the lag has this value for two seconds, which is longer than the interval of its updates.
async fn stays(member: &mut dyn Subscription, lag: u64) {
    let mut same = 0;
    for _ in 0..900 {
        same = match member.health().lag == Some(lag) {
            true => same + 1,
            false => 0,
        };
        if same == 20 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the lag is not {lag}: {:?}", member.health());
}

/// Waits until the lag is at most this value, and returns it.
async fn lag_below(observer: &mut dyn Subscription, most: usize) -> usize {
    for _ in 0..6000 {
        let lag = usize::try_from(observer.health().lag.unwrap()).unwrap();
        if lag <= most {
            return lag;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", observer.health());
}

fn transactional(name: &str) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", test_services::kafka());
    let producer: BaseProducer = config.set("transactional.id", name).create().unwrap();
    producer.init_transactions(Duration::from_secs(30)).unwrap();
    producer
}

test_services::kafka_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_left_behind_the_marker_of_a_transaction() {
        let topic = topic(&[]);
        let producer = transactional(topic.as_str());
        // Records that are committed, and records of an aborted transaction.
        for (payload, commits) in [("kept", true), ("aborted", false)] {
            producer.begin_transaction().unwrap();
            let record = BaseRecord::<(), str>::to(topic.as_str());
            producer.send(record.payload(payload)).unwrap();
            producer.flush(Duration::from_secs(10)).unwrap();
            let limit = Duration::from_secs(10);
            match commits {
                true => producer.commit_transaction(limit).unwrap(),
                false => producer.abort_transaction(limit).unwrap(),
            }
        }
        let transport = common::transport().await;
        let mut member = common::member(&transport, &topic).await;
        let delivery = receive(&mut *member, 1).await.remove(0);
        stays(&mut *member, 1).await;
        let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
        stays(&mut *member, 0).await;
        // Another member starts after all of them.
        member.close().await.unwrap();
        let mut member = common::member(&transport, &topic).await;
        stays(&mut *member, 0).await;
        member.close().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_lag_grows_while_no_record_is_received() {
        let topic = topic(&[]);
        let transport = common::transport().await;
        let mut member = common::member(&transport, &topic).await;
        // More than the prefetch limit, so that the partition is paused once no record is received.
        let payloads = vec!["x"; 6000];
        publish(&transport, &topic, &payloads).await;
        let first = tokio::time::timeout(Duration::from_secs(30), member.receive(Room::records(1)));
        let first = first.await.unwrap().unwrap().remove(0);
        stays(&mut *member, 6000).await;
        publish(&transport, &topic, &payloads[..500]).await;
        stays(&mut *member, 6500).await;
        let _ = first.ticket.settle(Vec::new()).await.unwrap();
        stays(&mut *member, 6499).await;
        drop(member);
        admin().delete_topic(topic.as_str());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_done_out_of_order_is_no_lag() {
        let topic = topic(&[]);
        let transport = common::transport().await;
        let mut member = common::member(&transport, &topic).await;
        publish(&transport, &topic, &["x"; 10]).await;
        let mut held = receive(&mut *member, 10).await;
        let oldest = held.remove(0);
        for delivery in held {
            let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
        }
        stays(&mut *member, 1).await;
        let _ = oldest.ticket.settle(Vec::new()).await.unwrap();
        stays(&mut *member, 0).await;
        member.close().await.unwrap();
    }

    /// The log ends with the marker of a transaction, which is no record.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_observer_reads_the_log_since_a_time_and_knows_its_end() {
        let topic = topic(&[]);
        let transport = common::transport().await;
        publish(&transport, &topic, &["early"]).await;
        // The stamps of records are whole milliseconds.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let from = kser_clock::SystemClock::new().wall();
        publish(&transport, &topic, &["late"]).await;
        let producer = transactional(topic.as_str());
        producer.begin_transaction().unwrap();
        let record = BaseRecord::<(), str>::to(topic.as_str());
        producer.send(record.payload("later")).unwrap();
        producer
            .commit_transaction(Duration::from_secs(10))
            .unwrap();
        for (from, expected) in [
            (from, &["late", "later"][..]),
            (Timestamp::default(), &["early", "late", "later"]),
            (from + Duration::from_secs(3600), &[]),
        ] {
            let interest = Interest::since(vec![topic.clone()], from);
            let mut observer = transport.subscribe(interest).await.unwrap();
            if expected.is_empty() {
                assert_eq!(observer.health().lag, Some(0));
            }
            assert_eq!(
                common::settled(&mut *observer, expected.len()).await,
                expected
            );
            lag_below(&mut *observer, 0).await;
            observer.close().await.unwrap();
        }
    }

    /// The inbox of an observer has room for 4,096 records.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_lag_of_an_observer_is_what_it_has_not_in_memory() {
        const RECORDS: usize = 6000;
        let topic = topic(&[]);
        let transport = common::transport().await;
        publish(&transport, &topic, &[""; RECORDS]).await;
        let interest = Interest::since(vec![topic.clone()], Timestamp::default());
        let mut observer = transport.subscribe(interest).await.unwrap();
        // From then on the inbox is full, so that the lag stands still.
        let full = lag_below(&mut *observer, RECORDS - 4096).await;
        assert_ne!(full, 0);
        let in_memory = observer.receive(Room::records(RECORDS)).await.unwrap();
        assert_eq!(in_memory.len(), RECORDS - full);
        receive(&mut *observer, full).await;
        lag_below(&mut *observer, 0).await;
        observer.close().await.unwrap();
    }
);
