//! Missing topics, with brokers that would create them automatically, as they do by default.

use kser_core::{Error, Interest, Record, Topic, Transport};
use kser_kafka::{KafkaConfig, KafkaTransport};
use test_services::Cluster;

test_services::cluster_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn brokers_that_would_make_topics_are_not_asked_to() {
        let cluster = Cluster::builder().with_property("auto.create.topics.enable", "true");
        let cluster = cluster.start();
        let config = KafkaConfig::new(cluster.bootstrap());
        let transport = KafkaTransport::with_config(config).await.unwrap();
        let missing = Topic::new("missing").unwrap();
        for _ in 0..2 {
            let interest = Interest::group("g", vec![missing.clone()]);
            let error = transport.subscribe(interest).await.unwrap_err();
            assert!(matches!(error, Error::MissingTopic { .. }), "{error}");
            let record = Record::new(missing.clone(), None);
            let error = transport.publish(vec![record]).await.unwrap_err();
            let error = error.into_error();
            assert!(matches!(error, Error::MissingTopic { .. }), "{error}");
        }
        let class = "org.apache.kafka.tools.TopicCommand";
        let topics = cluster.admin().tool(class, &["--list"]).unwrap();
        let ours = topics.lines().filter(|topic| !topic.starts_with("__"));
        assert_eq!(ours.collect::<Vec<_>>(), Vec::<&str>::new());
    }
);
