use std::sync::{Arc, Mutex, PoisonError};

use kser_core::{Error, Record};
use rdkafka::producer::Producer;

use crate::publish::{Client, Publisher};

/// The producer for what is sent alone, made when it is first needed.
#[derive(Default)]
pub(crate) struct Alone(Mutex<Option<Arc<Client>>>);

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
                tracing::error!(target: "kser_kafka", %error, "there is no producer for single records");
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

    /// Returns the producer for single records: another one after a fatal error.
    fn single(&self) -> Result<Arc<Client>, Error> {
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
