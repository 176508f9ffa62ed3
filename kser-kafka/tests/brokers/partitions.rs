//! The partition of a key, which is the same as with the Java client, so that both keep the order of a key.

use crate::common::{admin, member, receive, transport};
use kser_core::{Record, Topic, Transport};

const PARTITIONS: u32 = 12;

/// Keys and their hashes, from the tests of the Java client (`UtilsTest.testMurmur2`).
const HASHES: [(&str, i32); 6] = [
    ("21", -973_932_308),
    ("foobar", -790_332_482),
    ("a-little-bit-long-string", -985_981_536),
    ("a-little-bit-longer-string", -1_486_304_829),
    (
        "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
        -58_897_971,
    ),
    ("abc", 479_470_107),
];

/// Returns the partition that the Java client chooses (`BuiltInPartitioner.partitionForKey`).
fn partition(hash: i32) -> i32 {
    (hash & i32::MAX) % PARTITIONS.cast_signed()
}

test_services::kafka_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn a_key_goes_where_the_java_client_sends_it() {
        let name = format!("partitions.{}", std::process::id());
        admin().create_topic_with(&name, PARTITIONS, 1, &[]);
        let (transport, topic) = (transport().await, Topic::new(name).unwrap());
        let mut member = member(&transport, &topic).await;
        let record =
            |(key, _): &(&'static str, i32)| Record::new(topic.clone(), None).with_key(*key);
        transport
            .publish(HASHES.iter().map(record).collect())
            .await
            .unwrap();
        let received = receive(&mut *member, HASHES.len()).await;
        let mut found = Vec::new();
        for delivery in received {
            let key = delivery.record.key.clone().unwrap();
            found.push((key, delivery.origin.partition));
            let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
        }
        for (key, hash) in HASHES {
            let expected = (bytes::Bytes::from_static(key.as_bytes()), partition(hash));
            assert!(found.contains(&expected), "{key}: {found:?}");
        }
    }
);
