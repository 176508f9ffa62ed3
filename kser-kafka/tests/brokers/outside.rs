//! Members that are not in their group, which their health shows with the reason.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use kser_core::{Error, Health, Interest, Room, Subscription, Topic, TopicSpec, Transport};
use kser_kafka::{KafkaConfig, KafkaTransport};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use test_services::Cluster;

/// The timeout of expected events.
const LONG: Duration = Duration::from_secs(60);

type Mock = MockCluster<'static, DefaultProducerContext>;

/// Creates the topic of the cluster, and returns a transport.
fn servers(cluster: &Mock) -> String {
    cluster.create_topic("t", 1, 1).unwrap();
    cluster.bootstrap_servers()
}

async fn join(servers: String) -> Box<dyn Subscription> {
    let config = KafkaConfig::new(servers);
    let transport = KafkaTransport::with_config(config).await.unwrap();
    member(&transport, "t", "g").await
}

async fn member(transport: &KafkaTransport, topic: &str, group: &str) -> Box<dyn Subscription> {
    let interest = Interest::group(group, vec![Topic::new(topic).unwrap()]);
    transport.subscribe(interest).await.unwrap()
}

/// Waits until the health is as expected.
async fn until(member: &mut dyn Subscription, expected: impl Fn(&Health) -> bool + Send) -> Health {
    for _ in 0..900 {
        let health = member.health();
        if expected(&health) {
            return health;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?}", member.health());
}

fn is_outside(health: &Health, reason: &str) -> bool {
    let mut outside = health.not_in_group.iter();
    outside.any(|outside| !outside.group.ends_with(".delay") && outside.reason.contains(reason))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_without_a_coordinator_shows() {
    let cluster = MockCluster::new(1).unwrap();
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE;
    cluster.request_errors(RDKafkaApiKey::FindCoordinator, &[error; 1000]);
    let mut member = join(servers(&cluster)).await;
    let health = until(&mut *member, |health| is_outside(health, "no coordinator")).await;
    assert_eq!(health.lag, None, "{health:?}");
    assert_eq!(health.assigned, []);
    // The group of delayed records has no coordinator either.
    let groups = |health: &Health| health.not_in_group.len() == 2;
    until(&mut *member, groups).await;
    let long = |health: &Health| health.not_in_group[0].duration > Duration::from_secs(1);
    until(&mut *member, long).await;
    cluster.clear_request_errors(RDKafkaApiKey::FindCoordinator);
    let well = |health: &Health| !is_outside(health, "") && health.lag == Some(0);
    let health = until(&mut *member, well).await;
    assert_eq!(health.assigned.len(), 1, "{health:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_full_shows() {
    let cluster = MockCluster::new(1).unwrap();
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_MAX_SIZE_REACHED;
    cluster.request_errors(RDKafkaApiKey::JoinGroup, &[error; 1000]);
    let mut member = join(servers(&cluster)).await;
    let health = until(&mut *member, |health| is_outside(health, "maximum size")).await;
    assert_eq!(health.lag, None, "{health:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_the_brokers_refuse_to_describe_is_not_missing() {
    use RDKafkaRespErr::{
        RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE as NO_LEADER,
        RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as NO_RIGHT,
        RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART as MISSING,
    };
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let config = KafkaConfig::new(cluster.bootstrap_servers());
    let transport = KafkaTransport::with_config(config).await.unwrap();
    let subscribe = || transport.subscribe(Interest::group("g", vec![Topic::new("t").unwrap()]));
    cluster.topic_error("t", MISSING).unwrap();
    let error = subscribe().await.unwrap_err();
    assert!(matches!(error, Error::MissingTopic { .. }), "{error}");
    cluster.topic_error("t", NO_RIGHT).unwrap();
    let error = subscribe().await.unwrap_err();
    assert!(!matches!(error, Error::MissingTopic { .. }), "{error}");
    assert!(!error.is_temporary(), "{error}");
    cluster.topic_error("t", NO_LEADER).unwrap();
    let mut member = subscribe().await.unwrap();
    let asked = |health: &Health| {
        health
            .last_heard
            .is_some_and(|heard| heard < Duration::from_secs(1))
    };
    for _ in 0..30 {
        let health = until(&mut *member, asked).await;
        assert_eq!(health.missing, [], "{health:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The reader has no group, whose member would end with an error.
#[tokio::test(flavor = "multi_thread")]
async fn an_observer_that_may_not_read_ends() {
    let cluster = MockCluster::new(1).unwrap();
    let config = KafkaConfig::new(servers(&cluster));
    let config = config.with("topic.metadata.refresh.interval.ms", "200");
    let transport = KafkaTransport::with_config(config.unwrap()).await.unwrap();
    let everything = Interest::everything(vec![Topic::new("t").unwrap()]);
    let mut observer = transport.subscribe(everything).await.unwrap();
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.topic_error("t", error).unwrap();
    let received = tokio::time::timeout(LONG, observer.receive(Room::records(1)));
    let error = received.await.unwrap().unwrap_err();
    assert!(!error.is_temporary(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_name_was_taken_over_is_superseded() {
    let cluster = MockCluster::new(1).unwrap();
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID;
    cluster.request_errors(RDKafkaApiKey::JoinGroup, &[error; 10]);
    let config = KafkaConfig::new(servers(&cluster));
    let transport = KafkaTransport::with_config(config).await.unwrap();
    let interest = Interest::group("g", vec![Topic::new("t").unwrap()]);
    let interest = interest.with_instance(Some("me".to_owned()));
    let mut member = transport.subscribe(interest).await.unwrap();
    let received = tokio::time::timeout(LONG, member.receive(Room::records(1)));
    let error = received.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, Error::Superseded { instance } if instance == "me"),
        "{error:?}"
    );
    assert!(!error.is_temporary());
}

#[tokio::test(flavor = "multi_thread")]
async fn eager_and_cooperative_members_mixed_are_no_passing_failure() {
    let cluster = MockCluster::new(1).unwrap();
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL;
    cluster.request_errors(RDKafkaApiKey::JoinGroup, &[error; 10]);
    // A member without a set assignor would use that of the group.
    let config = KafkaConfig::new(servers(&cluster));
    let config = config.with("partition.assignment.strategy", "range");
    let transport = KafkaTransport::with_config(config.unwrap()).await.unwrap();
    let mut member = member(&transport, "t", "g").await;
    let received = tokio::time::timeout(LONG, member.receive(Room::records(1)));
    let error = received.await.unwrap().unwrap_err();
    assert!(!error.is_temporary(), "{error:?}");
}

test_services::kafka_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn a_member_of_the_new_protocol_beside_classic_members_shows() {
        let classic = KafkaConfig::new(test_services::kafka());
        let new = classic.clone().with("group.protocol", "consumer").unwrap();
        let classic = KafkaTransport::with_config(classic).await.unwrap();
        let new = KafkaTransport::with_config(new).await.unwrap();
        let name = format!("outside-{}", std::process::id());
        let specs = [TopicSpec::work(Topic::new(&*name).unwrap()).with_partitions(4)];
        classic.ensure_topics(&specs).await.unwrap();
        let has = |count| move |health: &Health| health.assigned.len() == count;
        let mut first = member(&classic, &name, &name).await;
        until(&mut *first, has(4)).await;
        // Partitions move, after which the coordinator does not convert the group to the new protocol.
        let mut second = member(&classic, &name, &name).await;
        until(&mut *first, has(2)).await;
        until(&mut *second, has(2)).await;
        let mut third = member(&new, &name, &name).await;
        let health = until(&mut *third, |health| is_outside(health, "2 members")).await;
        assert_eq!(health.lag, None, "{health:?}");
        // Once the others have left, the member is admitted.
        first.close().await.unwrap();
        second.close().await.unwrap();
        let health = until(&mut *third, has(4)).await;
        assert_eq!(health.not_in_group, [], "{health:?}");
        third.close().await.unwrap();
    }
);

test_services::cluster_tests!(
    /// The client with the new protocol ends at the refusal, and is replaced until the group has room.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_group_of_the_new_protocol_that_is_full_shows_until_it_has_room() {
        let cluster = Cluster::builder().with_property("group.consumer.max.size", "1");
        let cluster = cluster.start();
        let config = KafkaConfig::new(cluster.bootstrap());
        let config = config.with("group.protocol", "consumer").unwrap();
        let transport = KafkaTransport::with_config(config).await.unwrap();
        let specs = [TopicSpec::work(Topic::new("t").unwrap()).with_partitions(1)];
        transport.ensure_topics(&specs).await.unwrap();
        let has_all =
            |health: &Health| health.not_in_group.is_empty() && health.assigned.len() == 1;
        let mut first = member(&transport, "t", "g").await;
        until(&mut *first, has_all).await;
        let mut second = member(&transport, "t", "g").await;
        let health = until(&mut *second, |health| is_outside(health, "maximum size")).await;
        assert_eq!(health.lag, None, "{health:?}");
        // Longer than the pause before the next attempt.
        let long = |health: &Health| health.not_in_group[0].duration > Duration::from_secs(3);
        until(&mut *second, long).await;
        first.close().await.unwrap();
        until(&mut *second, has_all).await;
        second.close().await.unwrap();
    }
);
