mod settled;
mod snapshot;
mod view;

use std::sync::Arc;
use std::thread;

use async_trait::async_trait;
use kser_core::{Error, GroupProgress, Inspect, Topic, UnsettledQuery, UnsettledView};
use rdkafka::error::KafkaError;
use tokio::sync::oneshot;

use self::snapshot::Snapshot;
use self::view::KafkaView;
use crate::cluster_clients::ClusterClients;
use crate::error::{failed, no_thread};

/// Shows topics and groups by clients that join no group. A group with the protocol of KIP-848 is listed, and its committed
/// offsets are read, as those of a classic group.
#[derive(Debug)]
pub(crate) struct KafkaInspect(pub(crate) Arc<ClusterClients>);

#[async_trait]
impl Inspect for KafkaInspect {
    async fn topics(&self) -> Result<Vec<Topic>, Error> {
        self.0.admin.all_topics().await
    }

    async fn groups(&self) -> Result<Vec<String>, Error> {
        self.0.admin.all_groups().await
    }

    async fn progress(&self, group: &str, topic: &Topic) -> Result<Vec<GroupProgress>, Error> {
        let settings = self.0.config.inspector(group);
        let topic = topic.clone();
        let read = move || Snapshot::take(&settings, topic).map(|snapshot| snapshot.progress());
        on_a_thread(read).await
    }

    async fn unsettled(&self, query: UnsettledQuery) -> Result<Box<dyn UnsettledView>, Error> {
        let settings = self.0.config.inspector(&query.group);
        let view = on_a_thread(move || KafkaView::open(&settings, query)).await?;
        Ok(Box::new(view))
    }
}

/// Calls a client on a thread of its own, since its calls block.
async fn on_a_thread<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (answer, answered) = oneshot::channel();
    let thread = thread::Builder::new().name("kser-kafka-inspect".to_owned());
    let started = thread.spawn(move || drop(answer.send(call())));
    started.map_err(no_thread)?;
    let canceled = |_| Err(failed("looking at a topic", None, KafkaError::Canceled));
    answered.await.unwrap_or_else(canceled)
}
