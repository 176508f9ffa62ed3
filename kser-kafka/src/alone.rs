use std::sync::Arc;

use kser_core::{Error, Record};
use tokio::sync::OnceCell;

use crate::publish::{Client, Publisher};

/// The producer for what is sent alone, made when it is first needed.
#[derive(Default)]
pub(crate) struct Alone(OnceCell<Arc<Client>>);

impl Publisher {
    /// Sends once more what the brokers refused for its size. They refuse whole batches, and the client does not divide
    /// them: a record that is too large takes others along, and so do many that are small.
    pub(crate) async fn publish_alone(
        &self,
        records: &[Record],
        failed: Vec<(usize, Error)>,
    ) -> Vec<(usize, Error)> {
        let is_refused = |(_, error): &(usize, Error)| matches!(error, Error::Unsupported { .. });
        let (refused, mut failed): (Vec<_>, Vec<_>) = failed.into_iter().partition(is_refused);
        if refused.is_empty() {
            return failed;
        }
        match self
            .alone
            .0
            .get_or_try_init(async || self.make_alone())
            .await
        {
            Ok(producer) => {
                let indices = refused.iter().map(|(index, _)| *index);
                let again = indices.filter_map(|index| Some((index, records.get(index)?)));
                failed.extend(self.publish_with(producer, again, refused.len()).await);
            }
            Err(error) => {
                tracing::error!(target: "kser_kafka", %error, "there is no producer for single records");
                failed.extend(refused);
            }
        }
        failed.sort_by_key(|(index, _)| *index);
        failed
    }
}
