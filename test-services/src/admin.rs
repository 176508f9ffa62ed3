use crate::coordinators;
use crate::deadline::retry;
use crate::installation::{Installation, succeed};
use crate::metadata::ClusterMetadata;
use crate::record_batch;
use crate::release::Release;
use crate::wire::{BrokerConnection, Request, Response};

mod leaders;

const PRODUCE: i16 = 0;
const COMMIT_OFFSETS: i16 = 8;
const CREATE_TOPICS: i16 = 19;
const DELETE_TOPICS: i16 = 20;
const DELETE_RECORDS: i16 = 21;
const WRITE_MARKERS: i16 = 27;
const CREATE_ACLS: i16 = 30;
const CREATE_PARTITIONS: i16 = 37;
const DELETE_OFFSETS: i16 = 47;
const DESCRIBE_PRODUCERS: i16 = 61;

/// The timeout of changes of topics, in milliseconds.
const PATIENCE_MS: i32 = 30_000;

/// A kind of things to which users have rights.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Resource {
    /// Topics.
    Topic = 2,
    /// Groups of consumers.
    Group = 3,
    /// The transactional ids of producers.
    TransactionalId = 5,
}

/// A right of a user.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Right {
    /// Reading.
    Read = 3,
    /// Writing.
    Write = 4,
    /// Describing.
    Describe = 8,
}

/// Changes topics and groups of a Kafka cluster, and runs its console tools.
///
/// A change takes milliseconds, a console tool most of a second. All methods panic if the cluster cannot be reached or refuses.
#[derive(Debug, Clone)]
pub struct Admin {
    bootstrap: String,
}

impl Admin {
    /// Takes the addresses of brokers, `host:port,host:port`: of [`kafka`](crate::kafka), or of a [`Cluster`](crate::Cluster).
    #[must_use]
    pub fn new(bootstrap: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
        }
    }

    /// Creates a topic. Returns when each partition has its leader and all its replicas.
    pub fn create_topic(&self, name: &str, partitions: u32, replication: u16) {
        self.create_topic_with(name, partitions, replication, &[]);
    }

    /// Creates a topic with settings of its own, such as `("max.message.bytes", "1000")`.
    pub fn create_topic_with(
        &self,
        name: &str,
        partitions: u32,
        replication: u16,
        settings: &[(&str, &str)],
    ) {
        let mut body = Request::new()
            .list(1)
            .text(name)
            .i32(int(partitions))
            .i16(replication.try_into().expect("few brokers"))
            .list(0)
            .list(settings.len());
        for (key, value) in settings {
            body = body.text(key).text(value);
        }
        let body = body.i32(PATIENCE_MS).i8(0);
        self.change(CREATE_TOPICS, 2, body, |answer| {
            let _name = answer.text()?;
            Ok((answer.i16()?, answer.text()?))
        });
        self.wait_for_topic(name, partitions);
    }

    /// Raises the number of partitions of a topic. Returns when they are ready.
    pub fn add_partitions(&self, topic: &str, partitions: u32) {
        let body = Request::new()
            .list(1)
            .text(topic)
            .i32(int(partitions))
            .i32(-1);
        self.change(
            CREATE_PARTITIONS,
            0,
            body.i32(PATIENCE_MS).i8(0),
            |answer| {
                let _name = answer.text()?;
                Ok((answer.i16()?, answer.text()?))
            },
        );
        self.wait_for_topic(topic, partitions);
    }

    /// Deletes a topic with all its records.
    pub fn delete_topic(&self, name: &str) {
        let body = Request::new().list(1).text(name).i32(PATIENCE_MS);
        self.change(DELETE_TOPICS, 1, body, |answer| {
            let _name = answer.text()?;
            Ok((answer.i16()?, String::new()))
        });
    }

    /// Deletes the records of a partition below an offset, as retention does in time.
    pub fn delete_records(&self, topic: &str, partition: u32, before: i64) {
        let done = retry(|| {
            let leader = self.metadata()?.leader(topic, partition)?;
            let body = Request::new()
                .list(1)
                .text(topic)
                .list(1)
                .i32(int(partition))
                .i64(before);
            let mut answer =
                BrokerConnection::open(&leader)?.call(DELETE_RECORDS, 0, body.i32(PATIENCE_MS))?;
            let _throttled = answer.i32()?;
            no_partition_error(&mut answer, |partition| {
                let (_index, _low) = (partition.i32()?, partition.i64()?);
                partition.i16()
            })
        });
        done.unwrap_or_else(|error| panic!("records of {topic} {partition}: {error}"));
    }

    /// Gives a user a right on all topics, groups or transactional ids whose names begin so. The brokers need an authorizer
    /// (`authorizer.class.name`).
    pub fn allow(&self, user: &str, right: Right, on: Resource, prefix: &str) {
        const PREFIXED: i8 = 4;
        const ALLOW: i8 = 3;
        let body = Request::new()
            .list(1)
            .i8(on as i8)
            .text(prefix)
            .i8(PREFIXED)
            .text(&format!("User:{user}"))
            .text("*")
            .i8(right as i8)
            .i8(ALLOW);
        self.change(CREATE_ACLS, 1, body, |answer| {
            Ok((answer.i16()?, answer.text()?))
        });
    }

    /// Aborts the open transaction of a partition, as `kafka-transactions.sh abort` does: its producer and its coordinator do not learn
    /// of it. Waits until there is one.
    pub fn abort_transaction(&self, topic: &str, partition: u32) {
        let aborted = retry(|| {
            let leader = self.metadata()?.leader(topic, partition)?;
            let mut broker = BrokerConnection::open(&leader)?;
            let (producer, epoch) = open_transaction(&mut broker, topic, partition)?;
            let body = Request::new()
                .compact_list(1)
                .i64(producer)
                .i16(epoch)
                // It is not committed.
                .i8(0)
                .compact_list(1)
                .compact_text(topic)
                .compact_list(1)
                .i32(int(partition))
                .no_tags()
                // The coordinator's epoch is unknown.
                .i32(-1)
                .no_tags()
                .no_tags();
            let mut answer = broker.call_compact(WRITE_MARKERS, 1, body)?;
            let errors = answer.compact_list(|producer| {
                let _id = producer.i64()?;
                let errors = producer.compact_list(|topic| {
                    let _name = topic.compact_text()?;
                    let errors = topic.compact_list(|partition| {
                        let (_index, error) = (partition.i32()?, partition.i16()?);
                        partition.no_tags()?;
                        Ok(error)
                    })?;
                    topic.no_tags()?;
                    Ok(errors)
                })?;
                producer.no_tags()?;
                Ok(errors.concat())
            })?;
            match errors.concat().into_iter().find(|error| *error != 0) {
                Some(error) => Err(format!("error {error}")),
                None => Ok(()),
            }
        });
        aborted.unwrap_or_else(|error| panic!("the transaction of {topic} {partition}: {error}"));
    }

    /// Deletes the committed offsets of a group for a topic, as expiration does in time (`offsets.retention.minutes`). No
    /// member may be subscribed to the topic.
    pub fn delete_offsets(&self, group: &str, topic: &str) {
        let done = retry(|| {
            let partitions = self.metadata()?.topic(topic)?.partitions.len();
            let coordinator = coordinators::of_group(&mut self.connect()?, group)?;
            let body = Request::new()
                .text(group)
                .list(1)
                .text(topic)
                .list(partitions);
            let body =
                (0..partitions).fold(body, |body, n| body.i32(i32::try_from(n).unwrap_or(0)));
            let mut answer = BrokerConnection::open(&coordinator)?.call(DELETE_OFFSETS, 0, body)?;
            let (error, _throttled) = (answer.i16()?, answer.i32()?);
            no_error([(error, String::new())])?;
            no_partition_error(&mut answer, |partition| {
                let _index = partition.i32()?;
                partition.i16()
            })
        });
        done.unwrap_or_else(|error| panic!("offsets of {group} in {topic}: {error}"));
    }

    /// Publishes a record to a partition, with headers of any bytes, which clients may not allow.
    pub fn publish(
        &self,
        topic: &str,
        partition: u32,
        headers: &[(&[u8], Option<&[u8]>)],
        payload: &[u8],
    ) {
        self.publish_batch(topic, partition, &record_batch::of_one(headers, payload));
    }

    /// Publishes a record that clients cannot decompress. Real brokers check compressed batches and refuse it; those of
    /// `rdkafka::mocking` do not.
    pub fn publish_damaged(&self, topic: &str, partition: u32) {
        self.publish_batch(topic, partition, &record_batch::damaged());
    }

    fn publish_batch(&self, topic: &str, partition: u32, batch: &[u8]) {
        let done = retry(|| {
            let leader = self.metadata()?.leader(topic, partition)?;
            // No transaction; acknowledged by all in-sync replicas.
            let body = Request::new().i16(-1).i16(-1).i32(PATIENCE_MS);
            let body = body.list(1).text(topic).list(1).i32(int(partition));
            let body = body.bytes(batch);
            let mut answer = BrokerConnection::open(&leader)?.call(PRODUCE, 3, body)?;
            no_partition_error(&mut answer, |partition| {
                let (_index, error) = (partition.i32()?, partition.i16()?);
                let (_offset, _time) = (partition.i64()?, partition.i64()?);
                Ok(error)
            })
        });
        done.unwrap_or_else(|error| panic!("a record to {topic} {partition}: {error}"));
    }

    /// Commits an offset of a partition with any bytes as metadata, as tools do that are no member of the group. The group must
    /// have no members.
    pub fn commit(&self, group: &str, topic: &str, partition: u32, offset: i64, metadata: &[u8]) {
        let done = retry(|| {
            let coordinator = coordinators::of_group(&mut self.connect()?, group)?;
            // From no member, with the brokers' default retention.
            let body = Request::new().text(group).i32(-1).text("").i64(-1);
            let body = body.list(1).text(topic).list(1).i32(int(partition));
            let body = body.i64(offset).short_bytes(metadata);
            let mut answer = BrokerConnection::open(&coordinator)?.call(COMMIT_OFFSETS, 2, body)?;
            no_partition_error(&mut answer, |partition| {
                let _index = partition.i32()?;
                partition.i16()
            })
        });
        done.unwrap_or_else(|error| panic!("a commit of {group} in {topic}: {error}"));
    }

    /// Returns the id of the leader of a partition.
    pub fn leader(&self, topic: &str, partition: u32) -> u16 {
        let leader = retry(|| self.metadata()?.leader_id(topic, partition));
        leader.unwrap_or_else(|error| panic!("the leader of {topic} {partition}: {error}"))
    }

    /// Returns the ids of the brokers with a replica of a partition.
    pub fn replicas(&self, topic: &str, partition: u32) -> Vec<u16> {
        let replicas = retry(|| self.metadata()?.replicas(topic, partition));
        replicas.unwrap_or_else(|error| panic!("the replicas of {topic} {partition}: {error}"))
    }

    /// Runs a console tool of Kafka, such as `org.apache.kafka.tools.TopicCommand`, and returns its output. The argument
    /// `--bootstrap-server` is added. The tools are those of Kafka 4.4.0, also for brokers of another release.
    ///
    /// # Errors
    ///
    /// The output of the tool if it fails.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> Result<String, String> {
        let mut java = Installation::get(Release::default()).java(true);
        java.arg(class)
            .args(["--bootstrap-server", &self.bootstrap])
            .args(arguments);
        let output = succeed(&mut java)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn metadata(&self) -> Result<ClusterMetadata, String> {
        ClusterMetadata::read(&mut self.connect()?)
    }

    fn connect(&self) -> Result<BrokerConnection, String> {
        BrokerConnection::open_any(&self.bootstrap)
    }

    /// Sends a request about one topic. `read` reads an entry of the list in the answer: its error code and message.
    fn change(
        &self,
        api: i16,
        version: i16,
        body: Request,
        read: impl FnMut(&mut Response) -> Result<(i16, String), String>,
    ) {
        let done = self.connect().and_then(|mut connection| {
            let mut answer = connection.call(api, version, body)?;
            let _throttled = answer.i32()?;
            no_error(answer.list(read)?)
        });
        done.unwrap_or_else(|error| panic!("{} refuses: {error}", self.bootstrap));
    }

    /// Waits until all reachable brokers know the topic with all its replicas.
    fn wait_for_topic(&self, name: &str, partitions: u32) {
        let ready = retry(|| {
            for address in self.bootstrap.split(',') {
                let Ok(mut connection) = BrokerConnection::open(address) else {
                    continue;
                };
                let metadata = ClusterMetadata::read(&mut connection)?;
                let topic = metadata.topic(name)?;
                if topic.partitions.len() < partitions as usize || !topic.is_complete() {
                    return Err(format!("{address} shows {:?}", topic.partitions));
                }
            }
            Ok(())
        });
        ready.unwrap_or_else(|error| panic!("the topic {name} does not come: {error}"));
    }
}

fn int(n: u32) -> i32 {
    n.try_into().expect("fewer than two billion partitions")
}

/// Checks an answer that lists topics with their partitions. `error` reads the error code of one partition.
fn no_partition_error(
    answer: &mut Response,
    mut error: impl FnMut(&mut Response) -> Result<i16, String>,
) -> Result<(), String> {
    let errors = answer.list(|topic| {
        let _name = topic.text()?;
        topic.list(&mut error)
    })?;
    let errors = errors.into_iter().flatten();
    no_error(errors.map(|error| (error, String::new())))
}

fn no_error(answers: impl IntoIterator<Item = (i16, String)>) -> Result<(), String> {
    match answers.into_iter().find(|(error, _)| *error != 0) {
        Some((error, message)) => Err(format!("error {error} {message}")),
        None => Ok(()),
    }
}

/// Returns the id and the epoch of the producer that has an open transaction in a partition.
fn open_transaction(
    broker: &mut BrokerConnection,
    topic: &str,
    partition: u32,
) -> Result<(i64, i16), String> {
    let body = Request::new()
        .compact_list(1)
        .compact_text(topic)
        .compact_list(1)
        .i32(int(partition))
        .no_tags()
        .no_tags();
    let mut answer = broker.call_compact(DESCRIBE_PRODUCERS, 0, body)?;
    let _throttled = answer.i32()?;
    let producers = answer.compact_list(|topic| {
        let _name = topic.compact_text()?;
        let producers = topic.compact_list(|partition| {
            let (_index, _error) = (partition.i32()?, partition.i16()?);
            let _message = partition.compact_text()?;
            let producers = partition.compact_list(|producer| {
                let (id, epoch) = (producer.i64()?, producer.i32()?);
                let (_sequence, _at) = (producer.i32()?, producer.i64()?);
                let (_coordinator, start) = (producer.i32()?, producer.i64()?);
                producer.no_tags()?;
                Ok((id, epoch, start))
            })?;
            partition.no_tags()?;
            Ok(producers)
        })?;
        topic.no_tags()?;
        Ok(producers.concat())
    })?;
    let open = producers
        .concat()
        .into_iter()
        .find(|(_, _, start)| *start >= 0);
    let (id, epoch, _) = open.ok_or("no transaction is open")?;
    Ok((id, i16::try_from(epoch).map_err(|error| error.to_string())?))
}
