//! Outputs that their topics refuse, in transactions and without.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use crate::common::{self, receive, settled, text, topic};
use crate::transactions::{
    LONG, connect, exactly_once, leave, noise, output, proxied, settled_texts,
};
use kser_core::{Error, Topic};
use kser_kafka::{Guarantee, KafkaConfig, KafkaTransport};

/// Connects for records whose sizes the client does not know, since they are compressed: the brokers refuse them.
async fn compressed(servers: String, client: &str) -> KafkaTransport {
    let config = KafkaConfig::new(servers).with_delivery(Guarantee::ExactlyOnce);
    let config = config.with("client.id", client).unwrap();
    let config = config.with("compression.type", "lz4").unwrap();
    KafkaTransport::with_config(config).await.unwrap()
}

test_services::cluster_tests!(
    /// The answer to the first Produce, a refusal, comes after the brokers have got the offsets of the input. Nothing is left of them.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_output_that_is_refused_after_its_offset_was_sent_acknowledges_nothing() {
        const PRODUCE: i16 = 0;
        const TXN_OFFSET_COMMIT: i16 = 28;
        let cluster = tokio::task::spawn_blocking(proxied).await.unwrap();
        let admin = cluster.admin();
        admin.create_topic("late", 1, 1);
        admin.create_topic_with("late.out", 1, 1, &[("max.message.bytes", "2000")]);
        let topics = ["late", "late.out"].map(|name| Topic::new(name).unwrap());
        let transport = compressed(cluster.bootstrap(), "late").await;
        let mut member = common::member(&transport, &topics[0]).await;
        common::publish(&transport, &topics[0], &["a", "b"]).await;
        let mut received = receive(&mut *member, 2).await;
        cluster.hold("late", PRODUCE);
        let outputs = vec![output(&topics[1], noise(5000))];
        let bad = received.remove(0).ticket;
        let refused = tokio::spawn(async move { bad.settle(outputs).await.unwrap_err() });
        let sent = || cluster.requests("late").contains_key(&TXN_OFFSET_COMMIT);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while !sent() {
            assert!(
                tokio::time::Instant::now() < deadline,
                "no offsets are sent while the report is awaited"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!refused.is_finished());
        cluster.release("late", PRODUCE);
        let not = refused.await.unwrap();
        let Error::Unpublished { source } = &not.source else {
            panic!("{:?}", not.source);
        };
        assert!(
            matches!(source.failed[0].1, Error::TooLargeForTopic { .. }),
            "{source:?}"
        );
        // The next window commits the other record alone.
        let outputs = vec![output(&topics[1], "b".to_owned())];
        let settled = received.remove(0).ticket.settle(outputs).await;
        assert!(!settled.unwrap().is_lost());
        let _ = not.ticket.release(None);
        leave(member).await;
        let mut next = common::member(&transport, &topics[0]).await;
        assert_eq!(settled_texts(&mut *next).await, ["a"]);
        let mut reader = common::member(&transport, &topics[1]).await;
        assert_eq!(settled_texts(&mut *reader).await, ["b"]);
        leave(next).await;
    }
);

test_services::kafka_tests!(
    /// The broker refuses the records behind it, too, and the client reports these only after `message.timeout.ms`.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_refused_output_comes_back_before_the_records_behind_it_time_out() {
        let input = topic(&[]);
        let to = topic(&[("max.message.bytes", "2000")]);
        let config = KafkaConfig::new(test_services::kafka());
        let config = config.with_delivery(Guarantee::ExactlyOnce);
        let settings = [
            ("batch.num.messages", "1"),
            ("message.timeout.ms", "600000"),
            ("transaction.timeout.ms", "600000"),
            // The client does not know the size of a compressed record, so that the broker is asked.
            ("compression.type", "lz4"),
        ];
        let with = |config: KafkaConfig, (key, value)| config.with(key, value).unwrap();
        let config = settings.into_iter().fold(config, with);
        let transport = KafkaTransport::with_config(config).await.unwrap();
        let mut member = common::member(&transport, &input).await;
        common::publish(&transport, &input, &["a"; 3]).await;
        for delivery in receive(&mut *member, 3).await {
            let texts = ["before".to_owned(), noise(5000), "behind".to_owned()];
            let outputs = texts.map(|text| output(&to, text)).to_vec();
            let settled = tokio::time::timeout(LONG, delivery.ticket.settle(outputs));
            let not = settled.await.expect("it comes back").unwrap_err();
            let Error::Unpublished { source } = &not.source else {
                panic!("{:?}", not.source);
            };
            let refused = source
                .failed
                .iter()
                .filter(|(_, error)| matches!(error, Error::TooLargeForTopic { .. }));
            let positions: Vec<_> = refused.map(|(position, _)| *position).collect();
            assert_eq!(positions, [1], "{:?}", source.failed);
            let _ = not.ticket.settle(Vec::new()).await.unwrap();
        }
        leave(member).await;
    }

    /// A compacted topic takes no record without a key, and refuses the batch for it. The dead letter that takes its place is
    /// committed, and so are the others, although the topic of dead letters refuses the first one, too.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_record_without_a_key_for_a_compacted_topic_holds_no_other_up() {
        let (input, letters) = (topic(&[]), topic(&[]));
        let to = topic(&[("cleanup.policy", "compact")]);
        for guarantee in [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce] {
            let transport = connect(test_services::kafka(), "kser", guarantee).await;
            let mut member = common::member(&transport, &input).await;
            common::publish(&transport, &input, &["a", "b", "c"]).await;
            let mut settles = tokio::task::JoinSet::new();
            for delivery in receive(&mut *member, 3).await {
                let (to, letters) = (to.clone(), letters.clone());
                settles.spawn(async move {
                    let text = text(&delivery.record);
                    let mut sent = output(&to, text.clone());
                    if text == "b" {
                        sent.key = None;
                    }
                    let is_bad = sent.key.is_none();
                    let mut ticket = delivery.ticket;
                    // Others of its batch may have to be tried again.
                    for _ in 0..9 {
                        let Err(not) = ticket.settle(vec![sent.clone()]).await else {
                            return assert!(!is_bad, "it is refused");
                        };
                        let Error::Unpublished { source } = &not.source else {
                            panic!("{:?}", not.source);
                        };
                        if source.failed[0].1.is_refused() {
                            assert!(is_bad, "{source:?}");
                            let told = common::told(&source.failed[0].1);
                            assert!(told.contains("refuses the record"), "{told}");
                            sent = output(&letters, text.clone());
                            let settled = not.ticket.settle(vec![sent]).await;
                            return assert!(!settled.unwrap().is_lost());
                        }
                        ticket = not.ticket;
                    }
                    panic!("{text} is not settled");
                });
            }
            while let Some(settled) = settles.join_next().await {
                settled.unwrap();
            }
            let mut reader = common::member(&transport, &letters).await;
            assert_eq!(settled(&mut *reader, 1).await, ["b"]);
            leave(reader).await;
            leave(member).await;
        }
        let transport = exactly_once(test_services::kafka()).await;
        let mut reader = common::member(&transport, &to).await;
        let mut seen = settled_texts(&mut *reader).await;
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, ["a", "c"]);
    }

    /// The broker refuses the batch for one record, which comes back. The others are committed.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_record_that_its_topic_refuses_aborts_its_own_delivery_alone() {
        let input = topic(&[]);
        let to = topic(&[("max.message.bytes", "2000")]);
        let transport = compressed(test_services::kafka().to_owned(), "kser").await;
        let mut member = common::member(&transport, &input).await;
        common::publish(&transport, &input, &["a", "b", "c"]).await;
        let held = receive(&mut *member, 3).await;
        let mut settles = tokio::task::JoinSet::new();
        for delivery in held {
            let text = text(&delivery.record);
            let sent = if text == "b" {
                noise(5000)
            } else {
                text.clone()
            };
            let outputs = vec![output(&to, sent)];
            settles.spawn(async move { (text, delivery.ticket.settle(outputs).await) });
        }
        let mut refused = 0;
        while let Some(settled) = settles.join_next().await {
            let (text, settled) = settled.unwrap();
            match settled {
                Ok(settled) => assert!(!settled.is_lost() && text != "b"),
                Err(not) => {
                    refused += 1;
                    let Error::Unpublished { source } = &not.source else {
                        panic!("{:?}", not.source);
                    };
                    let (position, why) = &source.failed[0];
                    let is_right = matches!(
                        why,
                        Error::TooLargeForTopic {
                            limit: Some(2000),
                            ..
                        }
                    );
                    assert!(*position == 0 && is_right && text == "b", "{why:?}");
                    let _ = not.ticket.settle(Vec::new()).await.unwrap();
                }
            }
        }
        assert_eq!(refused, 1);
        let mut reader = common::member(&transport, &to).await;
        let mut seen = settled(&mut *reader, 2).await;
        seen.sort_unstable();
        assert_eq!(seen, ["a", "c"]);
        leave(member).await;
    }
);
