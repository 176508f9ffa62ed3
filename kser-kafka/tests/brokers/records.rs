//! Records of other programs, and records that are too large.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use crate::common::{self, admin, member, publish, receive, settled, text, told, topic, transport};
use kser_core::{Error, NotSettled, Record, Timestamp, Transport};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const LONG: Duration = Duration::from_secs(60);

/// Makes a producer of another program.
fn foreign(codec: &str) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", test_services::kafka());
    config.set("compression.type", codec).set("linger.ms", "50");
    config.create().unwrap()
}

test_services::kafka_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn every_compression_is_read() {
        let (transport, topic) = (transport().await, topic(&[]));
        let mut member = member(&transport, &topic).await;
        for codec in ["gzip", "snappy", "lz4", "zstd"] {
            let producer = foreign(codec);
            let payloads: Vec<_> = (0..20)
                .map(|n| format!("{codec} {n} ").repeat(50))
                .collect();
            for payload in &payloads {
                let record = BaseRecord::<(), _>::to(topic.as_str()).payload(payload);
                producer.send(record).unwrap();
            }
            producer.flush(LONG).unwrap();
            assert_eq!(settled(&mut *member, 20).await, payloads);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn foreign_records_come_as_they_are_and_keep_nothing_up() {
        let (transport, topic) = (transport().await, topic(&[]));
        let mut member = member(&transport, &topic).await;
        let producer = foreign("none");
        let send = |record: BaseRecord<'_, [u8], [u8]>| {
            producer.send(record).map_err(|(error, _)| error).unwrap();
            producer.flush(LONG).unwrap();
        };
        let to = || BaseRecord::<[u8], [u8]>::to(topic.as_str());
        send(to());
        send(to().key(b"").payload(b""));
        send(to().key(b"\xff\xfe").payload(b"\xc3\x28\x00"));
        let mut headers = OwnedHeaders::new();
        let large = vec![7; 400_000];
        for value in [None, Some(&b""[..]), Some(&b"\xff"[..]), Some(&large[..])] {
            headers = headers.insert(Header {
                key: "twice",
                value,
            });
        }
        for n in 0..1000 {
            let key = format!("header-{n}");
            headers = headers.insert(Header {
                key: &key,
                value: Some("x"),
            });
        }
        send(to().payload(b"headers").headers(headers));
        send(to().payload(b"next"));
        let received = receive(&mut *member, 5).await;
        let records: Vec<Record> = received
            .iter()
            .map(|delivery| delivery.record.clone())
            .collect();
        assert_eq!(
            (records[0].key.clone(), records[0].payload.clone()),
            (None, None)
        );
        assert_eq!(records[1].key.as_deref(), Some(&b""[..]));
        assert_eq!(records[1].payload.as_deref(), Some(&b""[..]));
        assert_eq!(records[2].key.as_deref(), Some(&b"\xff\xfe"[..]));
        assert_eq!(records[2].payload.as_deref(), Some(&b"\xc3\x28\x00"[..]));
        assert_eq!(records[3].headers.len(), 1004);
        assert_eq!(records[3].headers[0].1, None);
        assert_eq!(records[3].headers[3].1.as_deref(), Some(&large[..]));
        assert_eq!(text(&records[4]), "next");
        // They can be published again, as dead letters are.
        for delivery in received {
            let outputs = vec![delivery.record.clone()];
            assert!(!delivery.ticket.settle(outputs).await.unwrap().is_lost());
        }
        let again: Vec<_> = receive(&mut *member, 5).await;
        let again: Vec<_> = again
            .iter()
            .map(|delivery| delivery.record.clone())
            .collect();
        assert_eq!(again, records);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn header_names_that_are_no_utf_8_do_no_harm() {
        let before = common::n_utf_8_panics();
        let (transport, topic) = (transport().await, topic(&[]));
        let mut member = member(&transport, &topic).await;
        publish(&transport, &topic, &["before"]).await;
        admin().publish(topic.as_str(), 0, &[(b"utf-8", Some(b"x"))], b"even");
        admin().publish(topic.as_str(), 0, &[(b"\xff\xfe", Some(b"x"))], b"odd");
        publish(&transport, &topic, &["after"]).await;
        let texts = settled(&mut *member, 4).await;
        assert_eq!(texts, ["before", "even", "odd", "after"]);
        assert_eq!(common::n_utf_8_panics(), before);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_delay_where_nobody_reads_what_waits_is_refused() {
        let (transport, topic) = (transport().await, topic(&[]));
        let due = Timestamp::from_millis(u64::MAX / 2);
        for suffix in [".dlt", ".delay.1s"] {
            let letters = topic.with_suffix(suffix).unwrap();
            let record = Record::new(letters.clone(), None).with_not_before(Some(due));
            let not = transport.publish(vec![record]).await.unwrap_err();
            let error = not.into_error();
            assert!(matches!(error, Error::Unsupported { .. }), "{error}");
            assert!(error.to_string().contains(letters.as_str()), "{error}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_its_topic_does_not_take_is_refused_and_the_error_names_it() {
        let (transport, topic) = (transport().await, topic(&[("max.message.bytes", "10000")]));
        let large = Record::new(topic.clone(), Some(vec![b'x'; 20_000].into()));
        let small = Record::new(topic.clone(), Some("small".into()));
        let not = transport
            .publish(vec![large.clone(), small])
            .await
            .unwrap_err();
        let [(0, error)] = &not.failed[..] else {
            panic!("{:?}", not.failed)
        };
        let said = told(error);
        assert!(!error.is_temporary(), "{said}");
        let (name, size) = (topic.as_str(), large.size().to_string());
        for part in [name, &size, "its limit is 10000"] {
            assert!(said.contains(part), "{said}");
        }
        // Nor do many small records in one batch.
        let many = vec![Record::new(topic.clone(), Some(vec![b'x'; 500].into())); 200];
        transport.publish(many).await.unwrap();
        // A settle that cannot publish the record keeps the input, and returns the outputs that are left.
        let mut member = member(&transport, &topic).await;
        let delivery = receive(&mut *member, 1).await.remove(0);
        let small = Record::new(topic.clone(), Some("beside".into()));
        let not = delivery.ticket.settle(vec![small, large]).await;
        let NotSettled { ticket, source, .. } = not.unwrap_err();
        let Error::Unpublished { source } = source else {
            panic!("{source}")
        };
        let [(1, Error::TooLargeForTopic { .. })] = &source.failed[..] else {
            panic!("{source:?}")
        };
        assert!(!ticket.settle(Vec::new()).await.unwrap().is_lost());
    }
);

test_services::cluster_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn compressions_of_a_java_producer_are_read() {
        let (transport, topic) = (transport().await, topic(&[]));
        let mut member = member(&transport, &topic).await;
        for codec in ["gzip", "snappy", "lz4", "zstd"] {
            let arguments = format!(
                "--topic {topic} --num-records 10 --record-size 500 --throughput -1 \
                 --command-property compression.type={codec}"
            );
            let arguments: Vec<_> = arguments.split_whitespace().collect();
            let class = "org.apache.kafka.tools.ProducerPerformance";
            admin().tool(class, &arguments).unwrap();
            let texts = settled(&mut *member, 10).await;
            assert!(texts.iter().all(|text| text.len() == 500), "{codec}");
        }
    }
);
