use std::sync::Arc;

use kser_core::{Error, NotPublished, Record, Topic, TopicSpec};

use crate::KafkaConfig;
use crate::admin::Admin;
use crate::publish::Publisher;

/// The clients that all subscriptions of a transport share.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) config: KafkaConfig,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) admin: Admin,
}

impl Cluster {
    /// Publishes records. If that was asked for, topics that are missing are made.
    pub(crate) async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished> {
        let published = match self.config.create {
            None => self.publisher.publish(records).await,
            Some(_) => match self.publisher.publish(records.clone()).await {
                Ok(()) => Ok(()),
                Err(not) => self.publish_again(records, not).await,
            },
        };
        match published {
            Ok(()) => Ok(()),
            Err(not) => Err(self.with_limits(not).await),
        }
    }

    /// Names the limits of the topics that do not take a record, if the brokers tell them.
    async fn with_limits(&self, mut not: NotPublished) -> NotPublished {
        for (_, error) in &mut not.failed {
            if let Error::TooLargeForTopic { topic, limit, .. } = error {
                *limit = self.admin.largest_record(topic).await;
            }
        }
        not
    }

    /// Makes topics, and for each that keeps work those where its records wait.
    pub(crate) async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        let mut specs = topics.to_vec();
        for spec in topics
            .iter()
            .filter(|spec| spec.kept && !crate::delay::has_none(&spec.topic))
        {
            for (topic, _) in crate::delay::topics(&spec.topic) {
                let mut waits = TopicSpec::work(topic);
                waits.partitions = spec.partitions;
                if !specs.iter().any(|spec| spec.topic == waits.topic) {
                    specs.push(waits);
                }
            }
        }
        self.admin.ensure(&specs).await
    }

    /// Makes topics that are missing, if that was asked for.
    pub(crate) async fn create(&self, missing: Vec<Topic>) -> Result<(), Error> {
        let Some(partitions) = self.config.create else {
            let topic = missing.into_iter().next();
            return topic.map_or(Ok(()), |topic| {
                Err(Error::MissingTopic {
                    topic: topic.as_str().to_owned(),
                })
            });
        };
        let specs = missing
            .into_iter()
            .map(|topic| TopicSpec::work(topic).with_partitions(partitions));
        let specs: Vec<_> = specs.collect();
        self.ensure_topics(&specs).await
    }

    async fn publish_again(
        &self,
        records: Vec<Record>,
        not: NotPublished,
    ) -> Result<(), NotPublished> {
        let (missing, mut failed): (Vec<_>, Vec<_>) = not
            .failed
            .into_iter()
            .partition(|(_, error)| matches!(error, Error::MissingTopic { .. }));
        let mut again = Vec::new();
        for (index, error) in missing {
            let topic = match &error {
                Error::MissingTopic { topic } => Topic::new(topic),
                _ => continue,
            };
            let made = match topic {
                Ok(topic) => self.create(vec![topic]).await,
                Err(error) => Err(error),
            };
            match (made, records.get(index)) {
                (Ok(()), Some(record)) => again.push((index, record.clone())),
                _ => failed.push((index, error)),
            }
        }
        let (indices, records): (Vec<_>, Vec<_>) = again.into_iter().unzip();
        self.publisher
            .learn(records.iter().map(|record| &record.topic))
            .await;
        if let Err(not) = self.publisher.publish(records).await {
            let at = |(position, error): (usize, Error)| Some((*indices.get(position)?, error));
            failed.extend(not.failed.into_iter().filter_map(at));
        }
        failed.sort_by_key(|(index, _)| *index);
        match failed.is_empty() {
            true => Ok(()),
            false => Err(NotPublished::new(failed)),
        }
    }
}
