use bytes::Bytes;
use kser_clock::SystemClock;
use kser_core::{Clock, HandIn, Room, Settle};

use super::*;
use crate::KafkaConfig;
use crate::broker_log::BrokerErrors;
use crate::clock::Time;
use crate::delay::wait::Stamp;
use crate::progress::{MetadataBudget, WriterId};

/// Makes a member with two partitions that are read from the start, without a client.
pub(crate) fn member() -> Member {
    let time = Time::new(Arc::new(SystemClock::new()));
    let config = KafkaConfig::new("localhost:1").producer();
    let publisher = Publisher::new(config, BrokerErrors::default(), time);
    let topic = Topic::new("t").unwrap();
    let mut member = Member::new(
        Arc::new(PollChannel::default()),
        Arc::new(publisher.unwrap()),
        &[topic],
    );
    for partition in [0, 1] {
        let assignment = member.add_partition("t", partition).unwrap();
        let mut progress =
            PartitionProgress::take_over(Some(0), "", WriterId::new(), MetadataBudget::default());
        let commit = progress.commit().unwrap();
        progress.confirm(&commit);
        assignment.begin(progress);
    }
    member
}

/// Makes the timestamp of a producer in 1970.
fn stamp() -> Stamp {
    Stamp {
        at: Timestamp::default(),
        by_broker: false,
    }
}

pub(super) fn arrive(member: &mut Member, partition: i32, offset: i64, key: Option<&'static str>) {
    let mut record = Record::new(Topic::new("t").unwrap(), Some(Bytes::from_static(b"x")));
    record.key = key.map(|key| Bytes::from_static(key.as_bytes()));
    let taken = member.receive_record(partition, offset, stamp(), record, Timestamp::default());
    assert_eq!(taken, ArrivalOutcome::Taken);
}

/// A settler that does nothing.
#[derive(Debug)]
pub(super) struct Nobody;

#[async_trait::async_trait]
impl Settle for Nobody {
    async fn settle(&self, _: u128, _: &[Record]) -> Result<(), Error> {
        Ok(())
    }

    async fn begin(&self, _: u128) -> Result<(), Error> {
        Ok(())
    }

    fn release(&self, _: u128, _: Option<Timestamp>, _: u32) {}
}

impl HandIn for Nobody {
    fn hand_in(&self, ended: kser_core::EndedDelivery) -> Result<(), kser_core::EndedDelivery> {
        Err(ended)
    }
}

/// Receives the records in the inbox, and returns their partitions and offsets.
pub(super) async fn received(member: &Member) -> Vec<(i32, i64)> {
    let settle: Arc<dyn HandIn> = Arc::new(Nobody);
    let mut places = Vec::new();
    loop {
        let received = tokio::select! {
            biased;
            received = member.channel.receive(Room::records(100), &settle) => received,
            () = std::future::ready(()) => break,
        };
        for delivery in received.unwrap() {
            places.push((delivery.origin.partition, delivery.origin.offset));
            let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
        }
    }
    places
}

pub(super) fn id_of(member: &mut Member, partition: i32, offset: i64) -> RecordId {
    let assignment = member.assignment_of("t", partition).unwrap().id;
    RecordId { assignment, offset }
}

#[tokio::test]
async fn what_was_fetched_before_a_revocation_is_received_from_partitions_that_stay() {
    let mut member = member();
    arrive(&mut member, 0, 0, None);
    arrive(&mut member, 1, 0, None);
    // The rebalance callback runs inside the poll that follows.
    let channel = Arc::clone(&member.channel);
    member.handle_settled(&channel);
    assert_eq!(member.recall(|assignment| assignment.partition == 1), 0);
    member.remove_partition("t", 1);
    member.flush();
    assert_eq!(received(&member).await, [(0, 0)]);
}

#[tokio::test]
async fn what_arrives_while_it_closes_does_not_hold_the_close() {
    let mut member = member();
    arrive(&mut member, 0, 0, None);
    member.flush();
    assert_eq!(received(&member).await, [(0, 0)]);
    member.closing = true;
    assert_eq!(member.recall(|_| true), 1);
    arrive(&mut member, 0, 1, None);
    member.deliver_pending();
    member.flush();
    let held = id_of(&mut member, 0, 0);
    member.channel.mark_done(held).unwrap();
    let channel = Arc::clone(&member.channel);
    member.handle_settled(&channel);
    assert_eq!(member.recall(|_| true), 0);
}

#[tokio::test]
async fn a_record_given_back_in_a_revocation_comes_before_those_of_its_key() {
    let mut member = member();
    arrive(&mut member, 0, 0, Some("k"));
    member.flush();
    assert_eq!(received(&member).await, [(0, 0)]);
    let first = id_of(&mut member, 0, 0);
    member.channel.release(first, None, 0);
    arrive(&mut member, 0, 1, Some("k"));
    let channel = Arc::clone(&member.channel);
    member.handle_settled(&channel);
    member.handle_timers();
    member.flush();
    assert_eq!(received(&member).await, [(0, 0), (0, 1)]);
}

#[test]
fn the_timers_of_a_partition_that_is_gone_are_forgotten() {
    let mut member = member();
    for offset in 0..100 {
        arrive(&mut member, 1, offset, None);
        let id = id_of(&mut member, 1, offset);
        let due = SystemClock.now() + Duration::from_secs(3600);
        member.channel.release(id, Some(due), 0);
    }
    let channel = Arc::clone(&member.channel);
    member.handle_settled(&channel);
    member.handle_timers();
    assert_eq!(member.timers.len(), 100);
    member.remove_partition("t", 0);
    member.handle_timers();
    assert_eq!(member.timers.len(), 100);
    member.remove_partition("t", 1);
    member.handle_timers();
    assert_eq!(member.timers.len(), 0);
}

/// Marks records as done.
fn settle(member: &mut Member, partition: i32, offsets: impl IntoIterator<Item = i64>) {
    for offset in offsets {
        let id = id_of(member, partition, offset);
        member.channel.mark_done(id).unwrap();
    }
    let channel = Arc::clone(&member.channel);
    member.handle_settled(&channel);
}

#[tokio::test]
async fn a_log_that_goes_back_is_read_from_the_oldest_record_that_is_not_done() {
    let mut member = member();
    for offset in 0..=20 {
        arrive(&mut member, 0, offset, None);
    }
    member.flush();
    let old = id_of(&mut member, 0, 5);
    settle(&mut member, 0, (0..=20).filter(|offset| *offset != 5));
    let record = || Record::new(Topic::new("t").unwrap(), Some(Bytes::from_static(b"x")));
    assert_eq!(
        member.receive_record(0, 10, stamp(), record(), Timestamp::default()),
        ArrivalOutcome::WentBack
    );
    assert_eq!(member.restart_at("t", 0, 10), Some(5));
    assert_eq!(member.resets, 1);
    // Its ticket is lost, so that only this member runs the record.
    assert!(matches!(member.channel.mark_done(old), Err(Error::Lost)));
    let assignment = member.assignment_of("t", 0).unwrap();
    assert_eq!(assignment.position.rewind, Some(5));
    let progress = assignment.progress.as_mut().unwrap();
    let commit = progress.commit().unwrap();
    assert_eq!(commit.offset, 5);
    progress.confirm(&commit);
    // Records that arrive before the client has sought back are ignored.
    arrive(&mut member, 0, 11, None);
    member.assignment_of("t", 0).unwrap().position.rewind = None;
    member.channel.recall(|_| true);
    for offset in 5..=12 {
        arrive(&mut member, 0, offset, None);
    }
    member.flush();
    let came = received(&member).await;
    assert_eq!(came, [(0, 5), (0, 10), (0, 11), (0, 12)]);
}

#[tokio::test]
async fn a_log_that_goes_back_below_all_that_is_held_begins_there() {
    let mut member = member();
    for offset in 0..=20 {
        arrive(&mut member, 0, offset, None);
    }
    settle(&mut member, 0, 0..=15);
    assert_eq!(member.restart_at("t", 0, 10), Some(10));
    let assignment = member.assignment_of("t", 0).unwrap();
    assert_eq!(assignment.position.rewind, None);
    let commit = assignment.progress.as_mut().unwrap().commit().unwrap();
    assert_eq!(commit.offset, 10);
}

#[test]
fn a_log_that_is_cut_is_counted_once() {
    let mut member = member();
    member.assignment_of("t", 0).unwrap().position.start(70);
    member.log_end_below_commit("t", 0, 70, 20);
    member.assignment_of("t", 0).unwrap().position.cut_at = Some(20);
    assert_eq!(member.restart_at("t", 0, 20), Some(0));
    assert_eq!(member.resets, 1);
    // The next truncation is counted again.
    let position = &mut member.assignment_of("t", 0).unwrap().position;
    position.rewind = None;
    position.start(30);
    assert_eq!(member.restart_at("t", 0, 10), Some(0));
    assert_eq!(member.resets, 2);
}

#[test]
fn a_turn_looks_only_at_partitions_that_have_something_to_do() {
    let mut member = member();
    for assignment in member.assignments() {
        assignment.position.is_fetched = true;
    }
    let active = |member: &mut Member| {
        member.deactivate_idle();
        let active = member.active().map(|assignment| assignment.partition);
        active.collect::<Vec<_>>()
    };
    let write = |member: &mut Member| {
        let request = crate::commit::next_request(member, 0, "g", usize::MAX);
        for entry in request.entries {
            let progress = member.progress(entry.assignment).unwrap();
            progress.confirm(&entry.commit);
        }
    };
    assert_eq!(active(&mut member), [0; 0]);
    member.activate_all();
    assert_eq!(active(&mut member), [0; 0]);
    // A record in progress needs nothing, and a commit once it is done.
    arrive(&mut member, 1, 0, None);
    assert_eq!(active(&mut member), [0; 0]);
    let id = RecordId {
        assignment: member.assignment_of("t", 1).unwrap().id,
        offset: 0,
    };
    member.mark_done(id);
    assert_eq!(active(&mut member), [1]);
    write(&mut member);
    assert_eq!(active(&mut member), [0; 0]);
    // Records that may not start wait for a commit, and a timer wakes a released record.
    for offset in 1..300 {
        arrive(&mut member, 1, offset, None);
    }
    assert_eq!(active(&mut member), [1]);
    write(&mut member);
    member.deliver_pending();
    assert_eq!(active(&mut member), [0; 0]);
    member.take_released(RecordId { offset: 1, ..id }, None, 0);
    member.deactivate_idle();
    member.handle_timers();
    member.out.clear();
    assert_eq!(active(&mut member), [0; 0]);
    member.remove_partition("t", 1);
    assert_eq!(member.active().count(), 0);
}

#[test]
fn the_bytes_of_waiting_records_are_added_up_and_taken_off() {
    let mut member = member();
    member.assignment_of("t", 0).unwrap().progress = None;
    for offset in 0..10 {
        arrive(&mut member, 0, offset, None);
    }
    member.measure_pressure();
    assert_eq!(member.waiting_bytes, 10);
    member.deactivate_idle();
    member.assignment_of("t", 0).unwrap().forget_unreceived(3);
    member.measure_pressure();
    assert_eq!(member.waiting_bytes, 9);
    member.remove_partition("t", 0);
    member.measure_pressure();
    assert_eq!(member.waiting_bytes, 0);
}
