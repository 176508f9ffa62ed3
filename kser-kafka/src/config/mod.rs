mod defaults;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kser_clock::SystemClock;
use kser_core::{Clock, Error};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use crate::config::defaults::{
    ALIASES, DEFAULTS, OF_CLASSIC_GROUPS, OF_CONSUMERS, OF_DELAYS, OF_PRODUCERS, OF_TRANSACTIONS,
    OWNED,
};
use crate::consumer::assignor::{self, STRATEGY};
use crate::consumer::group_size;
use crate::progress::MetadataBudget;

/// The client's default of `max.poll.interval.ms`.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(300);

/// The guarantee for the deliveries of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Guarantee {
    /// The outputs are published before the input is acknowledged: after a crash between the two, the record is redelivered,
    /// and its outputs are published again.
    #[default]
    AtLeastOnce,
    /// The outputs become visible to readers of committed records together with the acknowledgement of the input, by a
    /// transaction of Kafka.
    ExactlyOnce,
}

/// The address of a cluster, and the settings of its clients.
///
/// Any key of librdkafka can be set, but for the keys that the transport sets itself: those are refused with the reason. Keys
/// that are not set have these defaults, beside librdkafka's own:
///
/// | key | value | why |
/// |---|---|---|
/// | `session.timeout.ms` | 20000 | is longer than a broker failure, which can stall the other brokers for 12 s |
/// | `heartbeat.interval.ms` | 500 | partitions move within a second |
/// | `message.timeout.ms` | 30000 | the timeout of a publish |
/// | `linger.ms` | 0 | a publish takes half a millisecond, not five |
/// | `fetch.wait.max.ms` | 50; 50 for each 1,000 partitions of the group, up to 500 | a resumed partition does not wait for an idle one; each request names all partitions |
/// | `statistics.interval.ms` | 1000; 1000 for each 1,000 partitions of the group, up to 5000 | the greatest age of the health; the client writes 1,200 bytes for each partition |
/// | `queued.max.messages.kbytes` | 16384 | the prefetch limit of each subscription; 1024 for its delayed records |
/// | `partition.assignment.strategy` | `cooperative-sticky`; `roundrobin` for more than 2,000 partitions in the group | a rebalance stops only the partitions that move; with many partitions the client takes too long for that |
/// | `partitioner` | `murmur2_random` | a key goes where the Java client puts it |
/// | `auto.offset.reset` | `earliest` | a new group reads all records; `error` ends the consumer instead |
/// | `topic.metadata.refresh.interval.ms` | 10000 | new partitions and topics are seen within it |
/// | `allow.auto.create.topics` | false | a missing topic is an error, even if the brokers would create it |
///
/// With `group.protocol` = `consumer` (KIP-848) the brokers set sessions and assignments, and those keys are left out.
///
/// ```
/// use kser_kafka::KafkaConfig;
///
/// # fn main() -> Result<(), kser_core::Error> {
/// let config = KafkaConfig::new("broker-1:9092,broker-2:9092")
///     .with("security.protocol", "SASL_SSL")?
///     .with("sasl.username", "shop")?;
/// assert!(config.with("enable.auto.commit", "true").is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KafkaConfig {
    servers: String,
    settings: BTreeMap<String, String>,
    pub(crate) commit_every: Duration,
    revoke_grace: Duration,
    pub(crate) create: Option<u32>,
    /// The guarantee that is asked for, if there is one.
    guarantee: Option<Guarantee>,
    default_guarantee: Guarantee,
    pub(crate) metadata: MetadataBudget,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long a partition whose log has more records may deliver none until it counts as stuck.
    pub(crate) stuck_after: Duration,
}

impl KafkaConfig {
    /// Takes the bootstrap servers: `host:port`, separated by commas.
    #[must_use]
    pub fn new(servers: impl Into<String>) -> Self {
        Self {
            servers: servers.into(),
            settings: BTreeMap::new(),
            commit_every: Duration::from_millis(25),
            revoke_grace: Duration::from_secs(1),
            create: None,
            guarantee: None,
            default_guarantee: Guarantee::default(),
            metadata: MetadataBudget::default(),
            clock: Arc::new(SystemClock::new()),
            stuck_after: Duration::from_secs(30),
        }
    }

    /// Reads a URL: `kafka://host:port,host:port?key=value&key=value`, where a key is one of librdkafka, `create` for
    /// [`with_create`](Self::with_create), or `delivery` for [`with_delivery`](Self::with_delivery): `at-least-once` or
    /// `exactly-once`. In values, `%26` is `&`, as in all URLs.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the text is no such URL, or if a key cannot be set.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        let rest = url.strip_prefix("kafka://");
        let rest = rest.ok_or_else(|| invalid_url(url, "it does not begin with kafka://"))?;
        let (servers, query) = rest.split_once('?').unwrap_or((rest, ""));
        Self::from_url_parts(servers, query.split('&'))
    }

    /// Takes a URL that is split already: the text between `kafka://` and `?`, and the options behind it, which were separated by
    /// `&`. Empty options are ignored.
    ///
    /// # Errors
    ///
    /// As [`from_url`](Self::from_url).
    pub fn from_url_parts<'a>(
        servers: &str,
        options: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Error> {
        let invalid = |reason: &str| invalid_url(&format!("kafka://{servers}"), reason);
        if servers.is_empty() || servers.contains(['/', '@', '#', '&', '=']) {
            return Err(invalid(
                "behind kafka:// there must be host:port, with commas between",
            ));
        }
        let mut config = Self::new(servers);
        for (index, pair) in options.into_iter().enumerate() {
            if pair.is_empty() {
                continue;
            }
            let (key, value) = pair.split_once('=').unwrap_or_default();
            let is_owned = OWNED.iter().any(|(owned, _)| *owned == key);
            if !["create", "delivery"].contains(&key) && !is_owned && !exists(key, value) {
                let number = index + 1;
                // The option is not shown, since it may be the rest of a password with an `&` in it.
                return Err(invalid(&format!(
                    "option {number} behind the `?` is no setting of librdkafka with a value, and neither `create` nor \
                     `delivery`; in a value, `&` is written `%26`"
                )));
            }
            let value = percent_encoding::percent_decode_str(value).decode_utf8();
            let value = value.map_err(|_| invalid("a value is not UTF-8"))?;
            config = match key {
                "create" => {
                    let partitions = value.parse().ok().filter(|count| *count > 0);
                    let partitions =
                        partitions.ok_or_else(|| invalid("`create` is a number of partitions"))?;
                    config.with_create(Some(partitions))
                }
                "delivery" => config.with_delivery(match &*value {
                    "at-least-once" => Guarantee::AtLeastOnce,
                    "exactly-once" => Guarantee::ExactlyOnce,
                    _ => {
                        return Err(invalid("`delivery` is `at-least-once` or `exactly-once`"));
                    }
                }),
                key => config.with(key, &*value)?,
            };
        }
        Ok(config)
    }

    /// Sets a key of librdkafka for producers and consumers; each client ignores the keys of the other.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a key that the transport sets itself, and for a key that librdkafka does not have. A wrong value
    /// is an error when the clients are created.
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Result<Self, Error> {
        let (key, value) = (key.into(), value.into());
        let refused = |reason: &str| Error::Invalid {
            what: format!("the Kafka setting {key:?}"),
            reason: reason.to_owned(),
        };
        if let Some((_, reason)) = OWNED.iter().find(|(owned, _)| *owned == key) {
            return Err(refused(&format!("the transport sets it: {reason}")));
        }
        if key == "auto.offset.reset"
            && !matches!(&*value, "earliest" | "smallest" | "beginning" | "error")
        {
            return Err(refused(
                "it is `earliest` or `error`: any other value skips records silently",
            ));
        }
        if !exists(&key, &value) {
            return Err(refused("librdkafka has no such setting"));
        }
        self.settings.insert(key, value);
        Ok(self)
    }

    /// Creates missing topics with this many partitions when they are first used. Defaults to `None`: then `ensure_topics`
    /// creates them. Meant for a laptop, since a misspelt name creates a topic, too.
    #[must_use]
    pub const fn with_create(mut self, partitions: Option<u32>) -> Self {
        self.create = partitions;
        self
    }

    /// Sets the guarantee for the deliveries of a group. Defaults to [`Guarantee::AtLeastOnce`]. The URLs of kser's clients default to
    /// [`Guarantee::ExactlyOnce`] where no state store is beside them.
    #[must_use]
    pub const fn with_delivery(mut self, guarantee: Guarantee) -> Self {
        self.guarantee = Some(guarantee);
        self
    }

    /// Sets the guarantee where neither [`with_delivery`](Self::with_delivery) nor the option `delivery` of the URL does.
    #[must_use]
    pub const fn with_default_delivery(mut self, guarantee: Guarantee) -> Self {
        self.default_guarantee = guarantee;
        self
    }

    /// Returns the guarantee for the deliveries of a group.
    #[must_use]
    pub fn delivery(&self) -> Guarantee {
        self.guarantee.unwrap_or(self.default_guarantee)
    }

    /// Sets the shortest time from one commit to the next. Defaults to 25 ms; more than a day counts as a day. A settled record
    /// waits that long for its commit, and up to 20 ms more: after a crash in that time it runs again.
    #[must_use]
    pub const fn with_commit_every(mut self, interval: Duration) -> Self {
        self.commit_every = at_most_a_day(interval);
        self
    }

    /// Sets the time for which a partition that is revoked is kept so that its running tasks can end. Defaults to 1 s; more
    /// than a day counts as a day, and more than half of `max.poll.interval.ms` (5 minutes unless it is set) as that half: the
    /// group removes a member whose rebalance takes longer. A task that runs longer runs again on the member that gets the
    /// partition.
    #[must_use]
    pub const fn with_revoke_grace(mut self, grace: Duration) -> Self {
        self.revoke_grace = at_most_a_day(grace);
        self
    }

    /// Sets the clock that measures delays. Defaults to [`SystemClock`]. The due times of records
    /// ([`Record::not_before`](kser_core::Record::not_before)) have to be times of the same clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the size limit of the metadata of a commit, in bytes: the brokers' `offset.metadata.max.bytes`. Defaults to 4,096,
    /// as there. The metadata names the records that were settled out of order.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for fewer than 256.
    pub fn with_commit_metadata(mut self, bytes: usize) -> Result<Self, Error> {
        self.metadata = MetadataBudget::new(bytes).ok_or_else(|| Error::Invalid {
            what: format!("{bytes} bytes of commit metadata"),
            reason: format!("the minimum is {}", MetadataBudget::SMALLEST),
        })?;
        Ok(self)
    }

    pub(crate) fn producer(&self) -> ClientConfig {
        let mut config = self.client(&OF_PRODUCERS);
        config.set("enable.idempotence", "true");
        config
    }

    /// Returns the settings of the transactional producer of a member.
    pub(crate) fn transactional_producer(&self, id: &str) -> ClientConfig {
        let mut config = self.producer();
        self.add(&mut config, &OF_TRANSACTIONS);
        config.set("transactional.id", id);
        config
    }

    /// Returns the time for which readers of the outputs of a member may wait after a kill of it: the timeout of its transaction, and
    /// the brokers' default interval of looking for those that have timed out. A restart under an instance name ends the wait.
    pub(crate) fn readers_wait(&self, instance: Option<&str>) -> Option<Duration> {
        const LOOK: Duration = Duration::from_secs(10);
        if self.delivery() != Guarantee::ExactlyOnce || instance.is_some() {
            return None;
        }
        let producer = self.transactional_producer("");
        let timeout = producer.get("transaction.timeout.ms")?.parse().ok()?;
        Some(Duration::from_millis(timeout) + LOOK)
    }

    pub(crate) fn consumer(
        &self,
        group: &str,
        instance: Option<&str>,
        partitions: usize,
    ) -> ClientConfig {
        let mut config = self.client(&OF_CONSUMERS);
        let sized = group_size::of(partitions);
        self.add(
            &mut config,
            &sized.each_ref().map(|(key, value)| (*key, &**value)),
        );
        if !self.is_kip_848() {
            self.add(&mut config, &OF_CLASSIC_GROUPS);
            self.add(&mut config, &[(STRATEGY, assignor::of(partitions))]);
        }
        config.set("group.id", group);
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("isolation.level", "read_committed");
        if let Some(instance) = instance {
            config.set("group.instance.id", instance);
        }
        config
    }

    /// Returns the time for which a rebalance waits for running tasks. It ends in time for the final commit: the commit of a
    /// member that its group has removed is refused, and ends a member with an instance name.
    pub(crate) fn rebalance_wait(&self) -> Duration {
        let set = self.settings.get("max.poll.interval.ms");
        let limit = set.and_then(|limit| limit.parse().ok());
        let limit = limit.map_or(MAX_POLL_INTERVAL, Duration::from_millis);
        self.revoke_grace.min(limit / 2)
    }

    /// Says whether producers compress batches, so that they send fewer bytes than the records have.
    pub(crate) fn compresses(&self) -> bool {
        let codecs = ["compression.type", "compression.codec"];
        let mut codecs = codecs.iter().filter_map(|key| self.settings.get(*key));
        codecs.any(|codec| codec != "none")
    }

    /// Returns the settings of the client that queries the brokers for the health. It is in no group, and sees the same end of
    /// a log as a consumer.
    pub(crate) fn query_client(&self) -> ClientConfig {
        let mut config = self.consumer("", None, 1);
        for key in ["group.id", "group.protocol"] {
            config.remove(key);
        }
        config.set("statistics.interval.ms", "0");
        config
    }

    /// Returns the settings of a client that reads the offsets of a group and the records of its topics without joining it. It
    /// keeps few records, and learns soon that a partition has no more.
    pub(crate) fn inspector(&self, group: &str) -> ClientConfig {
        let mut config = self.consumer(group, None, 1);
        config.remove("group.protocol");
        config.set("statistics.interval.ms", "0");
        config.set("enable.partition.eof", "true");
        config.set("fetch.wait.max.ms", "20");
        config.set("queued.max.messages.kbytes", "16384");
        // The log may be shorter than it was when its end was read.
        config.set("auto.offset.reset", "earliest");
        config
    }

    /// Returns the settings of a member of the group that forwards delayed records. It holds at most 1,000 records of a
    /// partition and fetches the others again later, so that a larger prefetch would be discarded each time.
    pub(crate) fn delays(
        &self,
        group: &str,
        instance: Option<&str>,
        partitions: usize,
    ) -> ClientConfig {
        let mut config = self.consumer(group, instance, partitions);
        // Operators do not set offsets for this group: it forwards delayed records from the first one on.
        config.set("auto.offset.reset", "earliest");
        self.add(&mut config, &OF_DELAYS);
        config
    }

    /// Says whether a setting was given.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.settings.contains_key(key)
    }

    /// Says whether groups use the protocol of KIP-848.
    pub(crate) fn is_kip_848(&self) -> bool {
        let protocol = self.settings.get("group.protocol");
        protocol.is_some_and(|protocol| protocol == "consumer")
    }

    /// Returns where a group without a committed offset starts.
    pub(crate) fn reset(&self) -> &str {
        let reset = self.settings.get("auto.offset.reset");
        reset.map_or("earliest", String::as_str)
    }

    pub(crate) fn admin(&self) -> ClientConfig {
        let mut config = self.client(&[]);
        // Log lines would pile up in this client, since rdkafka has no call that takes them out. The producer's client logs the
        // same errors of the brokers.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        config
    }

    fn client(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Refused commits and offset resets are warnings, which the client does not log by default.
        config.set_log_level(RDKafkaLogLevel::Warning);
        config.set("bootstrap.servers", &self.servers);
        for (key, value) in &self.settings {
            config.set(key, value);
        }
        self.add(&mut config, &DEFAULTS);
        self.add(&mut config, defaults);
        config
    }

    fn add(&self, config: &mut ClientConfig, defaults: &[(&str, &str)]) {
        for (key, value) in defaults {
            let is_set = |name: &str| self.settings.contains_key(name);
            let others = ALIASES.iter().filter(|(_, of)| of == key);
            if !is_set(key) && !others.map(|(other, _)| *other).any(is_set) {
                config.set(*key, *value);
            }
        }
    }
}

/// Says whether librdkafka has a setting with this name.
fn exists(key: &str, value: &str) -> bool {
    // librdkafka's own unit tests set these, to addresses of functions.
    if key.starts_with("ut_") {
        return false;
    }
    let mut config = ClientConfig::new();
    config.set(key, value);
    // The value is checked when the clients are created, since only they know which features this build has.
    let made = config.create_native_config();
    !matches!(
        made,
        Err(KafkaError::ClientConfig(
            RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN,
            ..
        ))
    )
}

/// Bounds a duration, so that adding it to a time cannot overflow.
const fn at_most_a_day(duration: Duration) -> Duration {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    match duration.as_secs() < DAY.as_secs() {
        true => duration,
        false => DAY,
    }
}

/// Makes the error of a wrong URL, without the parts that may hold a password.
fn invalid_url(url: &str, reason: &str) -> Error {
    Error::Invalid {
        what: format!("the URL {:?}", without_values(url)),
        reason: reason.to_owned(),
    }
}

/// Removes the parts of a URL that may hold a password: its options, and the user before the brokers.
fn without_values(url: &str) -> String {
    let shown = url.split(['?', '&', '#']).next().unwrap_or(url);
    match (shown.split_once("://"), shown.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, servers))) => format!("{scheme}://{servers}"),
        _ => shown.to_owned(),
    }
}

/// Shows the keys only, since values may be secrets.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("servers", &self.servers)
            .field("settings", &self.settings.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
