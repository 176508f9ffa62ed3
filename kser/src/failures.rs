//! Tells the waiters of a client that one of its consumers has failed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kser_core::{Error, Topic};
use tokio::sync::watch;

/// The consumers of one client: those that run, and those that failed and are not replaced.
#[derive(Debug, Default)]
pub(crate) struct Failures(watch::Sender<Consumers>);

#[derive(Debug, Default)]
struct Consumers {
    started: u64,
    running: BTreeMap<u64, BTreeSet<Topic>>,
    failed: Vec<Failure>,
}

/// The topics that a failed consumer received from, and its error.
#[derive(Debug)]
struct Failure {
    topics: BTreeSet<Topic>,
    error: String,
}

/// Counts a consumer as running until it is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    failures: Arc<Failures>,
    number: u64,
}

impl Failures {
    /// Counts a consumer as running. It replaces the failed consumers whose topics it receives from.
    pub(crate) fn serve(self: &Arc<Self>, topics: BTreeSet<Topic>) -> Served {
        let mut number = 0;
        self.0.send_modify(|consumers| {
            consumers.started += 1;
            number = consumers.started;
            consumers
                .failed
                .retain(|failure| !failure.topics.is_subset(&topics));
            consumers.running.insert(number, topics);
        });
        Served {
            failures: Arc::clone(self),
            number,
        }
    }

    /// Records that a consumer of these topics has failed, unless another one of the client receives from all of
    /// them.
    pub(crate) fn fail(&self, topics: BTreeSet<Topic>, error: &Error) {
        let error = error.report();
        self.0.send_modify(|consumers| {
            let mut running = consumers.running.values();
            if !running.any(|others| topics.is_subset(others)) {
                // A consumer that is started again and again leaves its latest error.
                let failed = &mut consumers.failed;
                failed.retain(|before| !before.topics.is_subset(&topics));
                failed.push(Failure { topics, error });
            }
        });
    }

    /// Lists the topics that the running consumers receive from.
    pub(crate) fn topics(&self) -> BTreeSet<String> {
        let consumers = self.0.borrow();
        let topics = consumers.running.values().flatten();
        topics.map(ToString::to_string).collect()
    }

    /// Waits until a consumer has failed that no other one replaces. Returns the error for a waiter.
    pub(crate) async fn failed(&self) -> Error {
        let mut consumers = self.0.subscribe();
        let failed = consumers.wait_for(|consumers| !consumers.failed.is_empty());
        let failed = failed.await.ok();
        let first = failed
            .as_ref()
            .and_then(|consumers| consumers.failed.first());
        let error = first.map(|failure| failure.error.clone());
        Error::ConsumerFailed {
            error: error.unwrap_or_default(),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.failures.0.send_modify(|consumers| {
            consumers.running.remove(&self.number);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn topics<const N: usize>(names: [&str; N]) -> BTreeSet<Topic> {
        names.map(|name| Topic::new(name).unwrap()).into()
    }

    async fn is_failed(failures: &Failures) -> bool {
        let failed = tokio::time::timeout(Duration::from_millis(1), failures.failed());
        failed.await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_stands_until_a_consumer_of_all_its_topics_starts() {
        let failures = Arc::new(Failures::default());
        failures.fail(topics(["a", "b"]), &Error::Closed);
        assert!(is_failed(&failures).await);
        let part = failures.serve(topics(["a"]));
        assert!(is_failed(&failures).await);
        let all = failures.serve(topics(["a", "b", "c"]));
        assert!(!is_failed(&failures).await);
        drop((part, all));
        assert!(!is_failed(&failures).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_consumer_that_fails_again_leaves_its_latest_error() {
        let failures = Arc::new(Failures::default());
        failures.fail(topics(["a"]), &Error::Lost);
        for _ in 0..3 {
            failures.fail(topics(["a", "b"]), &Error::Closed);
        }
        assert_eq!(failures.0.borrow().failed.len(), 1);
        let error = failures.failed().await.to_string();
        assert!(error.ends_with("closed"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_consumer_that_another_one_stands_in_for_fails_no_waiter() {
        let failures = Arc::new(Failures::default());
        let other = failures.serve(topics(["a", "b"]));
        failures.fail(topics(["b"]), &Error::Closed);
        assert!(!is_failed(&failures).await);
        drop(other);
        failures.fail(topics(["b"]), &Error::Closed);
        assert!(is_failed(&failures).await);
    }
}
