use super::{Admin, PATIENCE_MS, no_error};
use crate::metadata::{ClusterMetadata, PartitionMetadata};
use crate::wire::{BrokerConnection, Request, Response};

const ELECT_LEADERS: i16 = 43;
const REASSIGN_PARTITIONS: i16 = 45;

/// The kind of election: the first replica becomes the leader.
const PREFERRED: i8 = 0;
/// The error code of a broker for a partition whose first replica is the leader already.
const ELECTION_NOT_NEEDED: i16 = 84;

impl Admin {
    /// Moves the leader of each partition of a topic to its next in-sync replica. Returns the number of partitions that have
    /// moved.
    ///
    /// The coordinator of a group is the leader of a partition of `__consumer_offsets`, so that moving those moves the
    /// coordinators of all groups.
    ///
    /// # Errors
    ///
    /// The answer of the brokers if they refuse, as while too few of them run.
    pub fn move_leaders(&self, topic: &str) -> Result<usize, String> {
        let mut connection = self.connect()?;
        let metadata = ClusterMetadata::read(&mut connection)?;
        let partitions = metadata.topic(topic)?.partitions.iter();
        let orders = partitions
            .filter_map(|partition| Some((partition.index, next_first(partition)?)))
            .collect::<Vec<_>>();
        reassign(&mut connection, topic, &orders)?;
        elect(&mut connection, topic, &orders)
    }
}

/// Orders the replicas of a partition so that the next one becomes the leader; `None` if no other replica is in sync.
fn next_first(partition: &PartitionMetadata) -> Option<Vec<i32>> {
    let mut replicas = partition.replicas.clone();
    let leader = replicas.iter().position(|id| *id == partition.leader)?;
    replicas.rotate_left(leader);
    let mut others = replicas.iter().skip(1);
    let next = others.position(|id| partition.in_sync.contains(id))?;
    replicas.rotate_left(next + 1);
    Some(replicas)
}

/// Changes the order of replicas.
fn reassign(
    connection: &mut BrokerConnection,
    topic: &str,
    orders: &[(i32, Vec<i32>)],
) -> Result<(), String> {
    let mut body = Request::new().i32(PATIENCE_MS).compact_list(1);
    body = body.compact_text(topic).compact_list(orders.len());
    for (index, replicas) in orders {
        body = body.i32(*index).compact_list(replicas.len());
        body = replicas.iter().fold(body, |body, id| body.i32(*id));
        body = body.no_tags();
    }
    let body = body.no_tags().no_tags();
    let mut answer = connection.call_compact(REASSIGN_PARTITIONS, 0, body)?;
    let _throttled = answer.i32()?;
    no_error([(answer.i16()?, answer.compact_text()?)])?;
    let errors = answer.compact_list(|topic| {
        let _name = topic.compact_text()?;
        let errors = topic.compact_list(|partition| {
            let _index = partition.i32()?;
            let error = (partition.i16()?, partition.compact_text()?);
            partition.no_tags()?;
            Ok(error)
        })?;
        topic.no_tags()?;
        Ok(errors)
    })?;
    no_error(errors.into_iter().flatten())
}

/// Elects the first replica of each partition as its leader. Returns the number of partitions that it leads.
fn elect(
    connection: &mut BrokerConnection,
    topic: &str,
    orders: &[(i32, Vec<i32>)],
) -> Result<usize, String> {
    let body = Request::new().i8(PREFERRED).list(1).text(topic);
    let body = body.list(orders.len());
    let body = orders
        .iter()
        .fold(body, |body, (index, _)| body.i32(*index));
    let mut answer = connection.call(ELECT_LEADERS, 1, body.i32(PATIENCE_MS))?;
    let _throttled = answer.i32()?;
    no_error([(answer.i16()?, String::new())])?;
    let errors = answer.list(|topic| {
        let _name = topic.text()?;
        topic.list(|partition: &mut Response| {
            let _index = partition.i32()?;
            let (error, _message) = (partition.i16()?, partition.text()?);
            Ok(error)
        })
    })?;
    let errors = errors.into_iter().flatten();
    let led = errors.filter(|error| matches!(*error, 0 | ELECTION_NOT_NEEDED));
    Ok(led.count())
}
