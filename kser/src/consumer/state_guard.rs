use std::collections::BTreeSet;
use std::sync::Arc;

use kser_core::{Error, Instance, Topic};

use super::{Consumer, ConsumerHandle, ConsumerState};
use crate::failures::{Failures, Served};

/// A guard that reports the states of a consumer to its handle, to the log, and to the waits of its client.
#[derive(Debug)]
pub(super) struct StateGuard {
    handle: ConsumerHandle,
    failures: Arc<Failures>,
    topics: BTreeSet<Topic>,
    /// The topics of registered entrypoints that the consumer does not read.
    not_read: Vec<Topic>,
    served: Option<Served>,
    ended: bool,
}

impl StateGuard {
    pub(super) fn start(consumer: &Consumer) -> Self {
        let handle = consumer.handle();
        handle.set_state(ConsumerState::Starting);
        let topics: BTreeSet<_> = topics(consumer).unwrap_or_default().into_iter().collect();
        let routes = &consumer.shared.writer.routes;
        let registered = crate::topics::work(routes, &consumer.registry).unwrap_or_default();
        Self {
            handle,
            failures: Arc::clone(&consumer.shared.failures),
            not_read: registered.difference(&topics).cloned().collect(),
            topics,
            served: None,
            ended: false,
        }
    }

    /// Records that the consumer receives.
    pub(super) fn receives(&mut self, instance: Option<&Instance>) {
        let (topics, instance) = (self.topics(), instance.map(Instance::as_str));
        let not_read: Vec<_> = self.not_read.iter().map(Topic::as_str).collect();
        let not_read = (!not_read.is_empty()).then(|| tracing::field::debug(not_read));
        tracing::info!(target: "kser", ?topics, instance, not_read, "Consumer.Starting...");
        self.handle.set_state(ConsumerState::Running);
        self.served = Some(self.failures.serve(self.topics.clone()));
    }

    /// Records how the consumer has ended.
    pub(super) fn end(mut self, served: &Result<(), Error>) {
        self.ended = true;
        self.handle.set_graceful_leave(None);
        match served {
            Ok(()) => {
                tracing::info!(target: "kser", topics = ?self.topics(), "Consumer.Stopped");
                self.handle.set_state(ConsumerState::Stopped);
            }
            Err(error) => self.fail(error),
        }
    }

    fn topics(&self) -> Vec<&str> {
        self.topics.iter().map(Topic::as_str).collect()
    }

    fn fail(&mut self, error: &Error) {
        let report = kser_core::log::report(error);
        let topics = self.topics();
        tracing::error!(target: "kser", error = report, ?topics, "Consumer.Failed: nothing more is received from these topics");
        self.served = None;
        // The run of a waiter goes on where the instance was started again.
        if !matches!(error, Error::Superseded { .. }) {
            self.failures.fail(std::mem::take(&mut self.topics), error);
        }
        self.handle
            .set_state(ConsumerState::Failed { error: report });
    }
}

impl Drop for StateGuard {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        self.handle.set_graceful_leave(None);
        match std::thread::panicking() {
            true => self.fail(&Error::Backend {
                backend: "consumer",
                temporary: false,
                source: "it panicked".into(),
            }),
            false => self.handle.set_state(ConsumerState::Aborted),
        }
    }
}

/// Lists the topics that a consumer receives from, with the prefix.
///
/// # Errors
///
/// [`Error::InvalidTopic`] for a topic that cannot have its name, or whose dead letters cannot; [`Error::Invalid`] when
/// there is none.
pub(super) fn topics(consumer: &Consumer) -> Result<Vec<Topic>, Error> {
    let routes = &consumer.shared.writer.routes;
    let topics: BTreeSet<Topic> = match &consumer.options.topics {
        Some(topics) => topics
            .iter()
            .map(|topic| routes.prefixed(topic))
            .collect::<Result<_, _>>()?,
        None => crate::topics::work(routes, &consumer.registry)?,
    };
    if topics.is_empty() {
        return Err(Error::Invalid {
            what: "a consumer".to_owned(),
            reason: "it has no topics: register a task or an operation, or name the topics with `with_topics`"
                .to_owned(),
        });
    }
    topics.iter().try_for_each(crate::topics::with_room)?;
    Ok(topics.into_iter().collect())
}
