use std::collections::HashMap;

/// A map from partitions to numbers, such as offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PartitionMap(HashMap<String, HashMap<i32, i64>>);

impl PartitionMap {
    pub(crate) fn insert(&mut self, topic: &str, partition: i32, number: i64) {
        match self.0.get_mut(topic) {
            Some(of_topic) => drop(of_topic.insert(partition, number)),
            None => drop(
                self.0
                    .insert(topic.to_owned(), [(partition, number)].into()),
            ),
        }
    }

    pub(crate) fn get(&self, topic: &str, partition: i32) -> Option<i64> {
        self.0.get(topic)?.get(&partition).copied()
    }
}
