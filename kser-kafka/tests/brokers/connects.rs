//! Connections whose first requests are lost.

use kser_kafka::{Guarantee, KafkaConfig, KafkaTransport};
use test_services::{Loss, Place};

use crate::transactions::proxied;

const METADATA: i16 = 3;

test_services::cluster_tests!(
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_connect_whose_request_is_lost_asks_again() {
        let cluster = tokio::task::spawn_blocking(proxied).await.unwrap();
        for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
            for (nth, loss) in [
                (0, Loss::Request),
                (0, Loss::Answer),
                (1, Loss::Request),
                (2, Loss::Answer),
            ] {
                let client = format!("connects {guarantee:?} {nth} {loss:?}");
                let place = Place {
                    client: client.clone(),
                    api: METADATA,
                    nth,
                };
                cluster.lose(place, loss);
                let config = KafkaConfig::new(cluster.bootstrap()).with_delivery(guarantee);
                let config = config.with("client.id", &client).unwrap();
                let connected = KafkaTransport::with_config(config).await;
                assert!(connected.is_ok(), "{client}: {connected:?}");
            }
        }
    }
);
