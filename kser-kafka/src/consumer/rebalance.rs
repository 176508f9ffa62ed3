//! The rebalance callbacks of a client: partitions are assigned to the member, or revoked.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::types::RDKafkaRespErr;

use crate::clock::monotonic;
use crate::commit;
use crate::consumer::context::{MemberContext, log_failure};
use crate::offsets::start;
use crate::partition_list::{list, ranges};
use crate::transaction;

/// The timeout of requests in a rebalance callback.
const HOOK: Duration = Duration::from_secs(1);

impl ConsumerContext for MemberContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                assign(self, consumer, partitions)
            }
            _ => revoke(self, consumer, partitions),
        }
    }
}

fn assign(
    context: &MemberContext,
    consumer: &BaseConsumer<MemberContext>,
    partitions: &TopicPartitionList,
) {
    let mut member = context.member();
    for element in partitions.elements() {
        member.add_partition(element.topic(), element.partition());
    }
    member.end_revoked();
    drop(member);
    start::start_partitions(context, consumer, HOOK);
    if partitions.count() > 0 {
        let gained = partitions.elements();
        let gained = gained.iter().map(|it| (it.topic(), it.partition()));
        tracing::info!(
            target: "kser_kafka",
            group = context.group, partitions = ranges(gained),
            assigned = context.member().assignments().count(),
            "partitions assigned",
        );
    }
}

fn revoke(
    context: &MemberContext,
    consumer: &BaseConsumer<MemberContext>,
    partitions: &TopicPartitionList,
) {
    // The client does not say so later, not even if the group removes this member while the callback runs.
    let lost = consumer.assignment_lost() || context.abandoned.load(Ordering::Acquire);
    let all: Vec<_> = partitions
        .elements()
        .iter()
        .map(|element| (element.topic().to_owned(), element.partition()))
        .collect();
    if !lost {
        wait_for_given(context, consumer, &all);
    }
    // All members lose all partitions, and get most of them back.
    let is_eager = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Eager);
    // A record that ends between two assignments would belong to no window.
    let may_return = is_eager && !lost && context.transactions.is_none();
    let mut member = context.member();
    let mut fetched = TopicPartitionList::new();
    for (topic, partition) in &all {
        if let Some(assignment) = member.assignment_of(topic, *partition) {
            if !may_return {
                context.channel.end(assignment.id);
            }
            if assignment.position.is_fetched {
                fetched.add_partition(topic, *partition);
            }
        }
    }
    // Records that were settled until now are in these commands. From now on settling fails with `Error::Lost`.
    member.handle_settled(&context.channel);
    if lost {
        log_lost(context, &all);
    } else if let Some(link) = &context.transactions {
        drop(member);
        if !transaction::finish_partitions(link, consumer, context, &all, HOOK) {
            let why = link.failure_reason();
            let why = why.unwrap_or_else(|| "the brokers do not confirm it".to_owned());
            log_no_final_commit(context, &all, &why);
        }
        member = context.member();
    } else {
        let final_commits = commit::final_commits(&mut member, &all);
        match commit::write_all(consumer, &final_commits, HOOK) {
            Ok(durable) if durable.iter().all(|durable| *durable) => {}
            Ok(_) => {
                let why = context.refusal();
                let why = why.unwrap_or_else(|| "the brokers refuse it".to_owned());
                log_no_final_commit(context, &all, &why);
            }
            Err(error) => log_no_final_commit(context, &all, &error),
        }
        if may_return {
            for entry in &final_commits {
                member.revoke_for_return(&entry.topic, entry.partition, &entry.commit);
            }
        }
    }
    for (topic, partition) in &all {
        member.remove_partition(topic, *partition);
    }
    if lost {
        member.end_revoked();
    }
    drop(member);
    let unassigned = match consumer.rebalance_protocol() {
        // The call fails for all partitions if the client does not have one of them.
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(&fetched),
        _ => consumer.unassign(),
    };
    if !context.abandoned.load(Ordering::Acquire) {
        log_failure("unassigning partitions failed", unassigned);
    }
    // Lost partitions have a warning of their own, and a member that leaves the group needs no line about its partitions.
    if !lost && !all.is_empty() {
        tracing::info!(
            target: "kser_kafka",
            group = context.group, partitions = ranges(all.iter().map(place)),
            assigned = context.member().assignments().count(),
            "partitions revoked",
        );
    }
}

fn log_no_final_commit(context: &MemberContext, partitions: &[(String, i32)], why: &dyn Display) {
    tracing::warn!(
        target: "kser_kafka",
        group = context.group, %why, partitions = list(partitions.iter().map(place)),
        "final commit failed; records that ran may count as crashed deliveries",
    );
}

fn log_lost(context: &MemberContext, partitions: &[(String, i32)]) {
    if !context.abandoned.load(Ordering::Acquire) {
        tracing::warn!(
            target: "kser_kafka",
            "group {} removed this member, which sent no heartbeat in time: {} are lost without a final \
             commit; records that were not committed run again",
            context.group, list(partitions.iter().map(place)),
        );
    }
}

/// Waits until the records in progress are settled, at most for the grace period.
fn wait_for_given(
    context: &MemberContext,
    consumer: &BaseConsumer<MemberContext>,
    partitions: &[(String, i32)],
) {
    let until = monotonic() + context.rebalance_wait;
    let mut member = context.member();
    let ids = partitions
        .iter()
        .filter_map(|(topic, partition)| Some(member.assignment_of(topic, *partition)?.id));
    let ids: BTreeSet<_> = ids.collect();
    drop(member);
    loop {
        if let Some(link) = &context.transactions {
            let _ = transaction::serve(link, consumer, context);
        }
        let mut member = context.member();
        member.handle_settled(&context.channel);
        let given = member.recall(|assignment| ids.contains(&assignment.id));
        drop(member);
        let left = until.saturating_duration_since(monotonic());
        if given == 0 || left.is_zero() {
            return;
        }
        context
            .channel
            .wakeup
            .wait(left.min(Duration::from_millis(1)));
    }
}

fn place(partition: &(String, i32)) -> (&str, i32) {
    (&partition.0, partition.1)
}
