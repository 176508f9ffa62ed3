//! The names of the topics around a work topic.

use std::collections::BTreeSet;

use kser_core::{Error, Registry, Topic, TopicSpec};

use crate::routes::Routes;

/// The suffix of the topic of the dead letters of a topic.
pub(crate) const DEAD_LETTERS: &str = ".dlt";

/// The suffixes of the topics in which records wait until they are due, one for each length of a hop. A transport uses them
/// if it cannot delay records otherwise.
const DELAYS: [&str; 5] = [
    ".delay.1s",
    ".delay.10s",
    ".delay.1m",
    ".delay.10m",
    ".delay.1h",
];

/// Refuses a topic whose name is too long for the suffixes of dead letters and delays: a failed record would have no
/// destination.
pub(crate) fn with_room(topic: &Topic) -> Result<(), Error> {
    let mut around = DELAYS.iter().chain([&DEAD_LETTERS]);
    around.try_for_each(|suffix| topic.with_suffix(suffix).map(drop))?;
    Ok(())
}

/// The work topics of a registry.
pub(crate) fn work(routes: &Routes, registry: &Registry) -> Result<BTreeSet<Topic>, Error> {
    let entrypoints = registry.entrypoints();
    entrypoints.map(|name| routes.topic(name)).collect()
}

/// All topics that the entrypoints of a registry need.
pub(crate) fn needed(
    routes: &Routes,
    registry: &Registry,
    partitions: Option<u32>,
) -> Result<Vec<TopicSpec>, Error> {
    let with_partitions = |mut spec: TopicSpec| {
        spec.partitions = partitions;
        spec
    };
    let mut specs = vec![TopicSpec::observed(routes.events()?)];
    for topic in work(routes, registry)? {
        let around = DELAYS.iter().chain([&DEAD_LETTERS]);
        for suffix in around {
            let topic = topic.with_suffix(suffix)?;
            specs.push(with_partitions(TopicSpec::work(topic)));
        }
        specs.push(with_partitions(TopicSpec::work(topic)));
    }
    Ok(specs)
}
