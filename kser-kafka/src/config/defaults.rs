//! The settings of the clients that differ from those of librdkafka.

/// The keys that the transport sets, and why.
pub(crate) const OWNED: [(&str, &str); 15] = [
    (
        "bootstrap.servers",
        "it is the part of the URL before the options",
    ),
    (
        "metadata.broker.list",
        "it is the part of the URL before the options",
    ),
    ("group.id", "it comes from the routes"),
    ("group.instance.id", "it comes from the consumer's instance"),
    (
        "enable.auto.commit",
        "a record is committed once it is settled",
    ),
    (
        "enable.auto.offset.store",
        "a record is committed once it is settled",
    ),
    (
        "enable.idempotence",
        "without it records are lost, doubled and swapped when a broker dies",
    ),
    (
        "enable.partition.eof",
        "the transport does not use this event",
    ),
    (
        "delivery.report.only.error",
        "without the report of a record its publication would never end",
    ),
    (
        "enabled_events",
        "the client serves the events that it asks for",
    ),
    (
        "offset.store.method",
        "offsets are kept by the brokers, with the group",
    ),
    (
        "check.crcs",
        "with it the client skips records with a wrong checksum, so that they are lost",
    ),
    (
        "isolation.level",
        "records of aborted transactions must not run",
    ),
    (
        "transactional.id",
        "it comes from the group and the instance, with `delivery=exactly-once`",
    ),
    ("acks", "a record that one broker has is lost with it"),
];

/// The settings of both clients.
pub(crate) const DEFAULTS: [(&str, &str); 6] = [
    ("allow.auto.create.topics", "false"),
    ("topic.metadata.refresh.interval.ms", "10000"),
    ("topic.metadata.propagation.max.ms", "1500"),
    ("reconnect.backoff.max.ms", "1000"),
    ("client.id", "kser"),
    ("socket.keepalive.enable", "true"),
];

/// The settings of producers.
pub(crate) const OF_PRODUCERS: [(&str, &str); 6] = [
    ("linger.ms", "0"),
    ("message.timeout.ms", "30000"),
    ("partitioner", "murmur2_random"),
    ("message.max.bytes", "100000000"),
    ("queue.buffering.max.messages", "1000000"),
    ("batch.num.messages", "10000"),
];

/// The settings of transactional producers.
pub(crate) const OF_TRANSACTIONS: [(&str, &str); 2] = [
    ("transaction.timeout.ms", "30000"),
    // The brokers ask to wait while the transaction before is being completed, which takes about a millisecond.
    ("retry.backoff.ms", "2"),
];

/// The settings of consumers.
pub(crate) const OF_CONSUMERS: [(&str, &str); 5] = [
    ("auto.offset.reset", "earliest"),
    ("fetch.error.backoff.ms", "100"),
    ("fetch.queue.backoff.ms", "20"),
    ("queued.min.messages", "10000"),
    ("queued.max.messages.kbytes", "16384"),
];

/// The settings for delayed records: a smaller prefetch.
pub(crate) const OF_DELAYS: [(&str, &str); 2] = [
    ("queued.min.messages", "1000"),
    ("queued.max.messages.kbytes", "1024"),
];

/// Other names of keys that have a default here.
pub(crate) const ALIASES: [(&str, &str); 2] = [
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("queue.buffering.max.ms", "linger.ms"),
];

/// The settings of the classic group protocol, which KIP-848 refuses.
pub(crate) const OF_CLASSIC_GROUPS: [(&str, &str); 2] = [
    ("session.timeout.ms", "20000"),
    ("heartbeat.interval.ms", "500"),
];
