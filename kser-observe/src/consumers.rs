use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kser::client::Clock;
use kser::consumer::{ConsumerHandle, ConsumerHealth, ConsumerState};
use kser::message::Name;
use kser::observer::ConsumerInfo;

/// The consumers of a process that have started.
#[derive(Debug, Default)]
pub(crate) struct Consumers(Mutex<Vec<Started>>);

#[derive(Debug)]
struct Started {
    handle: ConsumerHandle,
    entrypoints: Vec<Name>,
    clock: Arc<dyn Clock>,
}

impl Consumers {
    /// Adds a consumer. It takes the place of one with the same entrypoints that has ended, such as one that failed and was
    /// started again.
    pub(crate) fn add(&self, consumer: &ConsumerInfo<'_>) {
        let entrypoints: Vec<_> = consumer.registry.entrypoints().cloned().collect();
        let mut started = self.started();
        started.retain(|earlier| match earlier.handle.state() {
            ConsumerState::Stopped => false,
            ConsumerState::Failed { .. } | ConsumerState::Aborted => {
                earlier.entrypoints != entrypoints
            }
            _ => true,
        });
        started.push(Started {
            handle: consumer.handle.clone(),
            entrypoints,
            clock: Arc::clone(consumer.clock),
        });
    }

    /// Returns the health of each consumer.
    pub(crate) fn health(&self) -> Vec<ConsumerHealth> {
        let started = self.started();
        started.iter().map(|one| one.handle.health()).collect()
    }

    /// Lists the entrypoints of the running attempts of all consumers, each with the age of the attempt.
    pub(crate) fn running(&self) -> Vec<(Name, Duration)> {
        let mut running = Vec::new();
        for one in self.started().iter() {
            let now = one.clock.now();
            let tasks = one.handle.running().into_iter();
            running.extend(tasks.map(|task| (task.entrypoint, now.since(task.since))));
        }
        running
    }

    fn started(&self) -> MutexGuard<'_, Vec<Started>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
