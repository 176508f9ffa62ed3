//! The poll thread's part of a transaction: it states the offsets and the maps, and takes the outcome.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::link::{PollRequest, StatedOffsets, ThreadEvent, TransactionLink, lock};
use super::window::{Event, Statement};
use crate::channel::RecordId;
use crate::clock::monotonic;
use crate::commit::{self, CommitEntry};
use crate::consumer::context::MemberContext;

/// The timeout of reading the committed offsets back.
const READ_BACK: Duration = Duration::from_secs(2);
/// The longest sleep while final commits are waited for.
const NAP: Duration = Duration::from_millis(5);

/// Answers the requests of the transaction thread. Returns the entries that are committed since the last call, if a window was
/// committed.
pub(crate) fn serve(
    link: &TransactionLink,
    consumer: &BaseConsumer<MemberContext>,
    context: &MemberContext,
) -> Option<Vec<CommitEntry>> {
    let mut committed = None::<Vec<CommitEntry>>;
    while let Some(request) = link.take_request() {
        match request {
            PollRequest::State { covers, too_long } => {
                if too_long {
                    shorten(link, context);
                }
                let (statement, offsets) = state(link, consumer, context, &covers);
                link.answer(ThreadEvent::Stated(statement, offsets.map(Arc::new)));
            }
            PollRequest::ReadBack => {
                let outcome = read_back(link, consumer, context);
                link.answer(ThreadEvent::Window(Event::ReadBack(outcome)));
            }
            PollRequest::Committed(done) => {
                let entries = std::mem::take(&mut *lock(&link.stated));
                let mut member = context.member();
                for id in done {
                    member.mark_committed(id);
                }
                for entry in &entries {
                    if let Some(progress) = member.progress(entry.assignment) {
                        progress.confirm(&entry.commit);
                    }
                }
                drop(member);
                // A window without offsets needs no broker.
                if !entries.is_empty() {
                    context.request_size.note_success();
                    committed.get_or_insert_default().extend(entries);
                }
            }
        }
    }
    committed
}

/// Commits the final offsets of partitions by a window, and waits for that. `limit` is the timeout for 1,000 partitions: twice
/// as many may take twice as long. Returns whether they are committed.
pub(crate) fn finish_partitions(
    link: &TransactionLink,
    consumer: &BaseConsumer<MemberContext>,
    context: &MemberContext,
    partitions: &[(String, i32)],
    limit: Duration,
) -> bool {
    let mut member = context.member();
    for (topic, partition) in partitions {
        let assignment = member.assignment_of(topic, *partition);
        if let Some(progress) = assignment.and_then(|assignment| assignment.progress.as_mut()) {
            let _ = progress.final_commit();
        }
    }
    drop(member);
    let until = monotonic() + commit::for_partitions(limit, partitions.len());
    loop {
        let _ = serve(link, consumer, context);
        let mut member = context.member();
        let mut is_open = false;
        for (topic, partition) in partitions {
            let assignment = member.assignment_of(topic, *partition);
            let progress = assignment.and_then(|assignment| assignment.progress.as_ref());
            is_open |= progress.is_some_and(|progress| progress.has_changes());
        }
        drop(member);
        let left = until.saturating_duration_since(monotonic());
        if !is_open || left.is_zero() {
            return !is_open;
        }
        link.want_offsets();
        context.channel.wakeup.wait(left.min(NAP));
    }
}

/// States the offsets as if the records were done, which they are only once the transaction is committed. The group's metadata is
/// taken before the records are filtered by the assignments that are live: the broker takes offsets of a partition that the member
/// has lost, so that only this filter refuses them.
fn state(
    link: &TransactionLink,
    consumer: &BaseConsumer<MemberContext>,
    context: &MemberContext,
    covers: &[(u64, RecordId)],
) -> (Statement, Option<StatedOffsets>) {
    lock(&link.stated).clear();
    let metadata = consumer.group_metadata();
    let mut member = context.member();
    let lost = covers.iter().filter(|(_, id)| !member.owns(id.assignment));
    let lost: Vec<_> = lost.map(|(number, _)| *number).collect();
    if !lost.is_empty() {
        return (Statement::Lost(lost), None);
    }
    let Some(metadata) = metadata.filter(|_| !consumer.assignment_lost()) else {
        return (Statement::NotNow, None);
    };
    let (entries, has_room) =
        commit::statement(&mut member, covers, &context.request_size, &context.group);
    drop(member);
    if !has_room {
        return (Statement::NotNow, None);
    }
    if entries.is_empty() {
        return (Statement::Nothing, None);
    }
    let Ok(offsets) = commit::list_of(&entries) else {
        return (Statement::NotNow, None);
    };
    *lock(&link.stated) = entries;
    link.set_stated(true);
    (
        Statement::Offsets,
        Some(StatedOffsets { offsets, metadata }),
    )
}

/// Says whether the last statement is committed; `None` if that cannot be read. The entries of a transaction are committed
/// together, so that partitions that the member still has tell it for all. If it has none of them, the deliveries are lost.
fn read_back(
    link: &TransactionLink,
    consumer: &BaseConsumer<MemberContext>,
    context: &MemberContext,
) -> Option<bool> {
    let stated = lock(&link.stated);
    let member = context.member();
    let owned = stated.iter().map(|entry| member.owns(entry.assignment));
    let owned: Vec<_> = owned.collect();
    drop(member);
    if !owned.contains(&true) {
        return Some(false);
    }
    let found = commit::read_back(consumer, &stated, READ_BACK).ok()?;
    let mut owned = found.iter().zip(owned).filter(|(_, is_owned)| *is_owned);
    Some(owned.all(|(is_committed, _)| *is_committed))
}

/// Makes the next statement smaller, after one that was too large for the broker: it has fewer partitions, and shorter metadata where
/// that is long.
fn shorten(link: &TransactionLink, context: &MemberContext) {
    /// The size of metadata that is not worth shortening, in bytes.
    const SHORT: usize = 300;
    let mut member = context.member();
    let stated = lock(&link.stated);
    if stated.len() > 1 {
        let bytes = stated.iter().map(|entry| entry.size(&context.group)).sum();
        context.request_size.note_refusal(bytes);
    }
    for entry in stated.iter() {
        if let Some(progress) = member.progress(entry.assignment)
            && entry.commit.metadata.len() > SHORT
        {
            progress.shorten_text();
        }
    }
}
