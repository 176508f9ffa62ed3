use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kser_core::{HeldPartition, Topic};

/// Deliveries whose results cannot be published, by a number that grows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unsettled(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    held: BTreeMap<u64, HeldPartition>,
    begun: u64,
}

impl Unsettled {
    /// Notes that a delivery is held, until what is returned is dropped.
    pub(crate) fn hold(&self, topic: Topic, partition: i32, reason: String) -> Held {
        let mut table = self.table();
        table.begun += 1;
        let number = table.begun;
        let held = HeldPartition::new(topic, partition, reason);
        table.held.insert(number, held);
        Held {
            all: self.clone(),
            number,
        }
    }

    /// Lists the partitions of which some are held, each with one reason.
    pub(crate) fn list(&self) -> Vec<HeldPartition> {
        let table = self.table();
        let mut partitions = BTreeMap::new();
        for held in table.held.values() {
            let place = (&held.topic, held.partition);
            partitions.entry(place).or_insert(held);
        }
        partitions.into_values().cloned().collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A delivery that is held.
#[derive(Debug)]
pub(crate) struct Held {
    all: Unsettled,
    number: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.table().held.remove(&self.number);
    }
}
