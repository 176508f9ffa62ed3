use kser::Error;
use kser::backend::{
    Description, Interest, NotPublished, Record, Settling, Subscription, TopicSpec, Transport,
    async_trait,
};
use kser::message::Topic;

/// The transport of a client that has a store only. It publishes nothing: the store keeps the records that follow from a verb, and
/// a consumer publishes them.
#[derive(Debug)]
pub(crate) struct AbsentTransport;

impl AbsentTransport {
    fn error(what: &str) -> Error {
        Error::Unsupported {
            what: format!("{what} without Kafka"),
            hint: "name it, as with --kafka or KSER_URL".to_owned(),
        }
    }

    /// The record may be published later.
    fn later() -> Error {
        Error::Backend {
            backend: "kafka",
            temporary: true,
            source: "no URL of Kafka was given".into(),
        }
    }
}

#[async_trait]
impl Transport for AbsentTransport {
    async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished> {
        let failed = (0..records.len()).map(|index| (index, Self::later()));
        Err(NotPublished::new(failed.collect()))
    }

    async fn subscribe(&self, _: Interest) -> Result<Box<dyn Subscription>, Error> {
        Err(Self::error("receiving records"))
    }

    async fn ensure_topics(&self, _: &[TopicSpec]) -> Result<(), Error> {
        Err(Self::error("creating topics"))
    }

    async fn describe(&self, _: &[Topic]) -> Result<Description, Error> {
        Ok(Description::new(Settling::InOrder, Record::LARGEST))
    }
}
