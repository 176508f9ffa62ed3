use std::sync::{Arc, Mutex, PoisonError};

use kser_core::{Error, Record};
use rdkafka::producer::Producer;

use crate::producer::Publisher;
use crate::producer::delivery_report::ProducerClient;

/// The producer for what is sent alone, made when it is first needed.
#[derive(Default)]
pub(crate) struct SingleRecordProducer(Mutex<Option<Arc<ProducerClient>>>);

impl Publisher {
    /// Sends once more what the brokers refused for its size. They refuse whole batches, and the client does not divide
    /// them: a record that is too large takes others along, and so do many that are small.
    pub(crate) async fn publish_alone(
        &self,
        records: &[Record],
        failed: Vec<(usize, Error)>,
    ) -> Vec<(usize, Error)> {
        let is_refused =
            |(_, error): &(usize, Error)| matches!(error, Error::TooLargeForTopic { .. });
        let (refused, mut failed): (Vec<_>, Vec<_>) = failed.into_iter().partition(is_refused);
        if refused.is_empty() {
            return failed;
        }
        match self.single() {
            Ok(producer) => {
                let indices = refused.iter().map(|(index, _)| *index);
                let again = indices.filter_map(|index| Some((index, records.get(index)?)));
                failed.extend(self.publish_with(&producer, again, refused.len()).await);
            }
            Err(error) => {
                say_without(&error);
                failed.extend(refused);
            }
        }
        failed.sort_by_key(|(index, _)| *index);
        for (index, error) in &mut failed {
            if let (Error::TooLargeForTopic { size, .. }, Some(record)) =
                (error, records.get(*index))
            {
                // The client tells of the payload and the key only.
                *size = record.size();
            }
        }
        failed
    }

    /// Sends a record in a batch of its own, without waiting: `done` is told how it ended. `refused` is why it was not
    /// published before.
    pub(crate) fn send_alone(
        &self,
        record: Record,
        refused: Error,
        done: impl FnOnce(Result<(), Error>) + Send + Sync + 'static,
    ) {
        let producer = match self.single() {
            Ok(producer) => producer,
            Err(error) => {
                say_without(&error);
                return done(Err(refused));
            }
        };
        let bytes = record.size();
        self.start(&producer, &record, move |sent| {
            done(sent.map_err(|mut error| {
                if let Error::TooLargeForTopic { size, .. } = &mut error {
                    *size = bytes;
                }
                error
            }));
        });
    }

    /// Returns the producer for single records: another one after a fatal error.
    fn single(&self) -> Result<Arc<ProducerClient>, Error> {
        let mut single = self.alone.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(producer) = &*single {
            match producer.client().fatal_error() {
                None => return Ok(Arc::clone(producer)),
                Some((code, reason)) => {
                    tracing::error!(target: "kser_kafka", %code, "the producer for single records is replaced: {reason}");
                }
            }
        }
        let made = self.make_alone()?;
        Ok(Arc::clone(single.insert(made)))
    }
}

fn say_without(error: &Error) {
    let error: &dyn std::error::Error = error;
    tracing::error!(target: "kser_kafka", error, "creating a producer for single records failed; records that were refused in a batch are not sent alone");
}

#[cfg(test)]
mod tests {
    use kser_core::Topic;
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::KafkaConfig;
    use crate::broker_log::BrokerErrors;
    use crate::clock::Time;

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
            publisher.publish(vec![Record::new(topic, None)]).await
        };
        publish(&[TOO_LARGE]).await.unwrap();
        publish(&[TOO_LARGE, FATAL]).await.unwrap_err();
        let broken = Arc::clone(publisher.alone.0.lock().unwrap().as_ref().unwrap());
        assert!(broken.client().fatal_error().is_some());
        publish(&[TOO_LARGE]).await.unwrap();
        // The one for all others too.
        publish(&[FATAL]).await.unwrap_err();
        publish(&[]).await.unwrap();
    }
}
