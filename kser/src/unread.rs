use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use kser_core::{Record, Topic, Transport};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::failures::Failures;
use crate::topics::DEAD_LETTERS;

/// The time in which a consumer of a topic may start after the first record of the topic.
const PATIENCE: Duration = Duration::from_secs(1);

/// Warns of topics that are written and that no group reads, on a transport that knows all of its readers. A record there would
/// wait without a line, because only a consumer tells that it has no handler.
#[derive(Debug, Default)]
pub(crate) struct UnreadTopics {
    /// The topics that are looked at, or were.
    written: RwLock<BTreeSet<Topic>>,
    /// The looks that are to come. They end with the client.
    looks: Mutex<JoinSet<()>>,
}

impl UnreadTopics {
    /// Looks at the topics of these records, each topic once.
    pub(crate) fn note(
        &self,
        transport: &Arc<dyn Transport>,
        failures: &Arc<Failures>,
        records: &[Record],
    ) {
        for record in records {
            if self.is_new(&record.topic)
                && let Ok(runtime) = Handle::try_current()
            {
                let (transport, failures) = (Arc::clone(transport), Arc::downgrade(failures));
                let topic = record.topic.clone();
                let look = async move {
                    tokio::time::sleep(PATIENCE).await;
                    let Some(failures) = failures.upgrade() else {
                        return;
                    };
                    let described = transport.describe(std::slice::from_ref(&topic)).await;
                    if described.is_ok_and(|described| {
                        described
                            .unread
                            .is_some_and(|unread| unread.contains(&topic))
                    }) {
                        let read = failures.topics();
                        tracing::warn!(
                            target: "kser", %topic, ?read,
                            "no consumer reads a topic with records; they wait until one is started",
                        );
                    }
                };
                let looks = self.looks.lock();
                let mut looks = looks.unwrap_or_else(PoisonError::into_inner);
                while looks.try_join_next().is_some() {}
                looks.spawn_on(look, &runtime);
            }
        }
    }

    /// Says whether a topic is written for the first time. Dead letters wait for a person.
    fn is_new(&self, topic: &Topic) -> bool {
        let written = self.written.read();
        let is_known = written
            .unwrap_or_else(PoisonError::into_inner)
            .contains(topic);
        if is_known || topic.as_str().ends_with(DEAD_LETTERS) {
            return false;
        }
        let written = self.written.write();
        written
            .unwrap_or_else(PoisonError::into_inner)
            .insert(topic.clone())
    }
}
