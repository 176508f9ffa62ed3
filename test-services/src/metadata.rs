use crate::wire::{BrokerConnection, Request, Response};

const METADATA: i16 = 3;

/// The view that a broker has of its cluster.
#[derive(Debug)]
pub(crate) struct ClusterMetadata {
    /// The ids and addresses of the live brokers.
    brokers: Vec<(i32, String)>,
    pub(crate) topics: Vec<TopicMetadata>,
}

#[derive(Debug)]
pub(crate) struct TopicMetadata {
    name: String,
    /// In order of their numbers.
    pub(crate) partitions: Vec<PartitionMetadata>,
}

#[derive(Debug)]
pub(crate) struct PartitionMetadata {
    pub(crate) index: i32,
    /// The id of the leader; -1 while there is none.
    pub(crate) leader: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) in_sync: Vec<i32>,
}

impl ClusterMetadata {
    /// Reads all brokers and topics.
    pub(crate) fn read(connection: &mut BrokerConnection) -> Result<Self, String> {
        let mut answer = connection.call(METADATA, 1, Request::new().i32(-1))?;
        let brokers = answer.list(|broker| {
            let id = broker.i32()?;
            let (host, port, _rack) = (broker.text()?, broker.i32()?, broker.text()?);
            Ok((id, format!("{host}:{port}")))
        })?;
        let _controller = answer.i32()?;
        let topics = answer.list(|topic| {
            let _error = topic.i16()?;
            let name = topic.text()?;
            let _internal = topic.i8()?;
            let mut partitions = topic.list(|partition| {
                let _error = partition.i16()?;
                Ok(PartitionMetadata {
                    index: partition.i32()?,
                    leader: partition.i32()?,
                    replicas: partition.list(Response::i32)?,
                    in_sync: partition.list(Response::i32)?,
                })
            })?;
            partitions.sort_by_key(|partition| partition.index);
            Ok(TopicMetadata { name, partitions })
        })?;
        Ok(Self { brokers, topics })
    }

    pub(crate) fn has_broker(&self, id: u16) -> bool {
        self.brokers
            .iter()
            .any(|(broker, _)| *broker == i32::from(id))
    }

    pub(crate) fn topic(&self, name: &str) -> Result<&TopicMetadata, String> {
        let topic = self.topics.iter().find(|topic| topic.name == name);
        topic.ok_or_else(|| format!("there is no topic {name}"))
    }

    /// Returns the address of the leader of a partition.
    pub(crate) fn leader(&self, topic: &str, partition: u32) -> Result<String, String> {
        let leader = self.partition(topic, partition)?.leader;
        let leader = self.brokers.iter().find(|(id, _)| *id == leader);
        leader
            .map(|(_, address)| address.clone())
            .ok_or_else(|| "it has no leader".to_owned())
    }

    /// Returns the id of the leader of a partition.
    pub(crate) fn leader_id(&self, topic: &str, partition: u32) -> Result<u16, String> {
        let leader = self.partition(topic, partition)?.leader;
        u16::try_from(leader).map_err(|_| "it has no leader".to_owned())
    }

    /// Returns the ids of the brokers with a replica of a partition.
    pub(crate) fn replicas(&self, topic: &str, partition: u32) -> Result<Vec<u16>, String> {
        let replicas = self.partition(topic, partition)?.replicas.iter();
        let replicas = replicas.map(|id| u16::try_from(*id).map_err(|error| error.to_string()));
        replicas.collect()
    }

    fn partition(&self, topic: &str, partition: u32) -> Result<&PartitionMetadata, String> {
        let found = self.topic(topic)?.partitions.get(partition as usize);
        found.ok_or_else(|| format!("there is no partition {partition} of {topic}"))
    }
}

impl TopicMetadata {
    /// Says whether each partition has a leader, and all its replicas are in sync.
    pub(crate) fn is_complete(&self) -> bool {
        self.partitions.iter().all(|partition| {
            partition.leader >= 0 && partition.in_sync.len() == partition.replicas.len()
        })
    }
}
