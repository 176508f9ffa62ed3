use std::time::Duration;

use kser_core::{Interest, Record, Room, Topic, Transport};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::{KafkaConfig, KafkaTransport};

const LIMIT: Duration = Duration::from_secs(90);

/// Publishes records to the topic `t`, receives all of them, and settles them.
async fn receive(config: KafkaConfig, count: usize) -> Box<dyn kser_core::Subscription> {
    let transport = KafkaTransport::with_config(config).await.unwrap();
    let topic = Topic::new("t").unwrap();
    let interest = Interest::group("g", vec![topic.clone()]);
    let mut member = transport.subscribe(interest).await.unwrap();
    let record = Record::new(topic, Some("x".into()));
    transport.publish(vec![record; count]).await.unwrap();
    let receive = async {
        let mut received = 0;
        while received < count {
            for delivery in member.receive(Room::records(count)).await.unwrap() {
                let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
                received += 1;
            }
        }
    };
    let received = tokio::time::timeout(LIMIT, receive).await;
    assert!(received.is_ok(), "the records come");
    member
}

/// The coordinator of the group moves while its last commit is read back.
#[tokio::test(flavor = "multi_thread")]
async fn a_final_commit_is_confirmed_although_the_coordinator_has_moved() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let member = receive(KafkaConfig::new(cluster.bootstrap_servers()), 10).await;
    // Until only the final commit is left.
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The client repeats a request twice by itself.
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR; 4];
    cluster.request_errors(RDKafkaApiKey::OffsetFetch, &errors);
    member.close().await.unwrap();
}
