use std::sync::{Arc, Mutex, PoisonError};

use kser_core::Error;
use rdkafka::config::ClientConfig;
use rdkafka::producer::Producer;

use crate::broker_log::BrokerErrors;
use crate::clock::Time;
use crate::producer::delivery_report::{DeliveryReports, ProducerClient};

/// A producer that sends each record in a batch of its own. Its client is created when it is first needed.
pub(super) struct SingleRecordProducer {
    config: ClientConfig,
    broker_errors: BrokerErrors,
    time: Time,
    client: Mutex<Option<Arc<ProducerClient>>>,
}

impl SingleRecordProducer {
    /// Takes the settings of the producer whose refused records it retries.
    pub(super) fn new(config: &ClientConfig, broker_errors: BrokerErrors, time: Time) -> Self {
        let mut config = config.clone();
        config.set("batch.num.messages", "1");
        Self {
            config,
            broker_errors,
            time,
            client: Mutex::default(),
        }
    }

    /// Returns the client, which is replaced after a fatal error.
    pub(super) fn client(&self) -> Result<Arc<ProducerClient>, Error> {
        let mut current = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*current {
            match client.client().fatal_error() {
                None => return Ok(Arc::clone(client)),
                Some((code, reason)) => {
                    tracing::error!(target: "kser_kafka", %code, "producer of single records failed: {reason}; it is replaced");
                }
            }
        }
        let reports = DeliveryReports::new(&self.broker_errors, self.time.clone());
        let made = reports.make_client(&self.config)?;
        Ok(Arc::clone(current.insert(made)))
    }
}

#[cfg(test)]
mod tests {
    use kser_core::{Record, Topic};
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::KafkaConfig;
    use crate::producer::Publisher;

    const TOO_LARGE: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    const FATAL: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_producer_that_met_a_fatal_error_is_replaced() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let config = KafkaConfig::new(cluster.bootstrap_servers());
        let time = Time::new(Arc::new(kser_clock::SystemClock::new()));
        let publisher = Publisher::new(config.producer(), BrokerErrors::default(), time).unwrap();
        let publish = async |errors: &[RDKafkaRespErr]| {
            cluster.clear_request_errors(RDKafkaApiKey::Produce);
            cluster.request_errors(RDKafkaApiKey::Produce, errors);
            let topic = Topic::new("t").unwrap();
            publisher.publish(&[Record::new(topic, None)]).await
        };
        publish(&[TOO_LARGE]).await.unwrap();
        publish(&[TOO_LARGE, FATAL]).await.unwrap_err();
        let broken = Arc::clone(
            publisher
                .single_records
                .client
                .lock()
                .unwrap()
                .as_ref()
                .unwrap(),
        );
        assert!(broken.client().fatal_error().is_some());
        publish(&[TOO_LARGE]).await.unwrap();
        // The producer of batches is replaced, too.
        publish(&[FATAL]).await.unwrap_err();
        publish(&[]).await.unwrap();
    }
}
