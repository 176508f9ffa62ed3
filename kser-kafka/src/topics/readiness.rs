//! Waits until new topics are ready. Brokers tell the leaders of a topic before they have opened its logs, which takes some
//! milliseconds for each. Until then they refuse reads and writes.

use std::thread::sleep;
use std::time::{Duration, Instant};

use kser_core::{Error, Topic};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::broker_log::BrokerErrors;
use crate::clock::monotonic;
use crate::error::failed;
use crate::offsets::log_bounds::{self, TopicPartition};

/// The timeout, and its extension for each partition.
const LIMIT: (Duration, Duration) = (Duration::from_secs(60), Duration::from_millis(20));
/// The timeout of one request.
const ANSWER: Duration = Duration::from_secs(10);
/// The pause between two requests: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// The time after the timeout for counting the partitions that are not ready.
const COUNT: Duration = Duration::from_secs(5);

/// Returns the timeout for this many new partitions.
pub(crate) fn limit(partitions: usize) -> Duration {
    let partitions = u32::try_from(partitions).unwrap_or(u32::MAX);
    LIMIT.0.saturating_add(LIMIT.1.saturating_mul(partitions))
}

/// Waits until all partitions of topics can be read and written. Each topic comes with its number of partitions; 0 stands for
/// any number. Blocks the thread.
///
/// # Errors
///
/// [`Error::Backend`] after the timeout, with the first topic that is not ready, and the number of its partitions that are
/// missing.
pub(crate) fn wait(
    settings: &ClientConfig,
    topics: &[(Topic, usize)],
    limit: Duration,
) -> Result<(), Error> {
    let (began, broker_errors) = (monotonic(), BrokerErrors::default());
    let until = began + limit;
    let client: BaseConsumer<BrokerErrors> = settings
        .create_with_context(broker_errors.clone())
        .map_err(|error| failed("creating a client", None, error))?;
    let mut places = Vec::new();
    for (topic, partitions) in topics {
        let found = leaders(&client, topic, *partitions, until);
        places.extend(found.map_err(|missing| late(topic, &missing, began))?);
    }
    for places in places.chunks(log_bounds::BATCH) {
        if !are_opened(&client, places, until) {
            let found = log_bounds::read(&client, places, monotonic() + COUNT);
            let missing = places.iter().find(|place| !found.contains_key(*place));
            // All were opened just now.
            let Some((topic, _)) = missing else { continue };
            let is_missing =
                |place: &&TopicPartition| place.0 == *topic && !found.contains_key(*place);
            let missing = places.iter().filter(is_missing).count();
            let missing = format!("brokers have not opened {missing} of its partitions, or more");
            return Err(late(topic, &missing, began));
        }
    }
    Ok(())
}

/// Waits until all partitions of a topic have leaders, and lists them.
fn leaders(
    client: &BaseConsumer<BrokerErrors>,
    topic: &Topic,
    partitions: usize,
    until: Instant,
) -> Result<Vec<TopicPartition>, String> {
    let mut pause = PAUSE.0;
    loop {
        let found = client.fetch_metadata(Some(topic.as_str()), ANSWER);
        let missing = match &found {
            Err(error) => error.to_string(),
            Ok(found) => {
                let found = found.topics().first().map_or(&[][..], |it| it.partitions());
                let led = found.iter().filter(|partition| partition.leader() >= 0);
                let (led, all) = (led.count(), partitions.max(found.len()).max(1));
                if led == all {
                    let places = found.iter().map(|it| (topic.as_str().to_owned(), it.id()));
                    return Ok(places.collect());
                }
                format!("{} of its {all} partitions have no leader", all - led)
            }
        };
        if monotonic() >= until {
            return Err(missing);
        }
        sleep(pause);
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// Waits until the logs of partitions are opened. Returns `false` after the timeout.
fn are_opened(
    client: &BaseConsumer<BrokerErrors>,
    places: &[TopicPartition],
    until: Instant,
) -> bool {
    let mut pause = PAUSE.0;
    while !log_bounds::are_readable(client, places, ANSWER) {
        if monotonic() >= until {
            return false;
        }
        sleep(pause);
        pause = (pause * 2).min(PAUSE.1);
    }
    true
}

fn late(topic: &(impl std::fmt::Display + ?Sized), missing: &str, began: Instant) -> Error {
    let what = format!(
        "waiting for new topic {topic}: after {:.0} s {missing}",
        began.elapsed().as_secs_f64()
    );
    failed(
        what,
        None,
        KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut),
    )
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;

    fn wait_for(
        cluster: &MockCluster<'_, impl rdkafka::ClientContext>,
        topics: &[(&str, usize)],
    ) -> Result<(), String> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        let topics = topics.iter();
        let topics: Vec<_> = topics
            .map(|(topic, n)| (Topic::new(*topic).unwrap(), *n))
            .collect();
        wait(&config, &topics, Duration::from_millis(300)).map_err(|error| {
            let source = std::error::Error::source(&error);
            format!(
                "{error}: {}",
                source.map(ToString::to_string).unwrap_or_default()
            )
        })
    }

    #[test]
    fn new_topics_are_waited_for_until_their_logs_are_opened() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1100, 1).unwrap();
        cluster.create_topic("u", 3, 1).unwrap();
        assert_eq!(wait_for(&cluster, &[("t", 1100), ("u", 0)]), Ok(()));
        let late = wait_for(&cluster, &[("t", 1100), ("u", 5)]).unwrap_err();
        assert!(
            late.contains("new topic u") && late.contains("2 of its 5 partitions have no leader"),
            "{late}"
        );
        let late = wait_for(&cluster, &[("missing", 0)]).unwrap_err();
        assert!(
            late.contains("1 of its 1 partitions have no leader"),
            "{late}"
        );
        // A broker that has not opened a log answers that it is not the leader.
        let not_opened = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 1000];
        cluster.request_errors(RDKafkaApiKey::ListOffsets, &not_opened);
        let late = wait_for(&cluster, &[("u", 3)]).unwrap_err();
        assert!(late.contains("not opened 3 of its partitions"), "{late}");
    }

    #[test]
    fn more_partitions_are_waited_for_longer() {
        assert_eq!(limit(0), Duration::from_secs(60));
        assert_eq!(limit(10_000), Duration::from_secs(260));
    }
}
