use std::fmt::Display;
use std::time::{Duration, Instant};

use kser_core::Error;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::oneshot;

use crate::assignment::Assignment;
use crate::channel::RecordId;
use crate::clock::monotonic;
use crate::commit::{self, CommitEntry, CommitRequest};
use crate::consumer::context::MemberContext;
use crate::error::description;
use crate::progress::PartitionProgress;
use crate::transaction::{self, TransactionLink};

/// The timeout of a read-back: at first, and at most, after several read-backs that timed out.
const ANSWER: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(16));
/// The pause after a read-back that timed out.
const AFTER_SILENCE: Duration = Duration::from_millis(500);
/// The pause after a commit that was refused, as in a rebalance.
const AFTER_REFUSAL: Duration = Duration::from_millis(100);
/// The time for which commits fail until a warning is logged, and the interval of further warnings.
const SAY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// Decides when offsets are committed: from time to time, and at once if a record waits for it.
#[derive(Debug)]
pub(crate) struct CommitSchedule {
    every: Duration,
    next: Instant,
    /// Set while commits fail: when to log the next warning.
    failing: Option<Instant>,
    /// The callers that wait until a commit names their suspected poison message.
    begin_requests: Vec<(RecordId, oneshot::Sender<Result<(), Error>>)>,
    /// The number of the last assignment in the last request.
    last: u64,
    /// A request that was sent and could not be read back yet. The brokers may have taken it.
    unanswered: Option<CommitRequest>,
    answer: Duration,
    has_shortened: bool,
}

impl CommitSchedule {
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            next: monotonic(),
            failing: None,
            begin_requests: Vec::new(),
            last: 0,
            unanswered: None,
            answer: ANSWER.0,
            has_shortened: false,
        }
    }

    pub(crate) const fn every(&self) -> Duration {
        self.every
    }

    /// Returns why the last commit was not confirmed, if it was not.
    pub(crate) fn failure_reason(&self, context: &MemberContext) -> Option<String> {
        self.failing?;
        let why = match &self.unanswered {
            Some(_) => None,
            None => context.refusal(),
        };
        Some(why.unwrap_or_else(|| "the brokers do not confirm it".to_owned()))
    }

    /// Answers the caller once a commit names the suspected poison message.
    pub(crate) fn add_begin_request(
        &mut self,
        id: RecordId,
        answer: oneshot::Sender<Result<(), Error>>,
    ) {
        self.begin_requests.push((id, answer));
    }

    /// Commits the changes, as many as fit into one request, if it is time or a record waits for it. Returns `Some` if the
    /// commit is confirmed, with whether records waited for it.
    pub(crate) fn commit_if_due(
        &mut self,
        consumer: &BaseConsumer<MemberContext>,
        context: &MemberContext,
    ) -> Option<bool> {
        let now = monotonic();
        let member = context.member();
        let waits = member.active().any(Assignment::wants_commit);
        drop(member);
        let is_urgent = (waits || !self.begin_requests.is_empty()) && self.failing.is_none();
        if now < self.next && !is_urgent {
            return None;
        }
        let request = match self.unanswered.take() {
            Some(sent) => sent,
            None => {
                let limit = context.request_size.bytes();
                let (last, group) = (self.last, &context.group);
                let request = commit::next_request(&mut context.member(), last, group, limit);
                self.answer_unchanged(context);
                if request.entries.is_empty() || consumer.assignment_lost() {
                    return None;
                }
                if let Err(error) = commit::send(consumer, &request.entries) {
                    self.note_failure(context, AFTER_SILENCE, &error);
                    return None;
                }
                request
            }
        };
        let asked = monotonic();
        match commit::read_back(consumer, &request.entries, self.answer) {
            Ok(durable) => {
                self.answer = (asked.elapsed() * 2).clamp(ANSWER.0, ANSWER.1);
                self.handle_answer(context, request, &durable);
                Some(waits)
            }
            Err(error) => {
                self.answer = (self.answer * 2).min(ANSWER.1);
                // The commit may still be taken: before another one is written, the same is read back again.
                self.unanswered = Some(request);
                self.note_failure(context, AFTER_SILENCE, &error);
                None
            }
        }
    }

    /// Answers the requests of the transaction thread, and has it commit the changes if it is time or a record waits for it.
    /// Returns `Some` if a window was committed, with whether records waited for it.
    pub(crate) fn state_if_due(
        &mut self,
        consumer: &BaseConsumer<MemberContext>,
        context: &MemberContext,
        link: &TransactionLink,
    ) -> Option<bool> {
        let waited = context.member().active().any(Assignment::wants_commit);
        let committed = transaction::serve(link, consumer, context).map(|_| waited);
        let mut member = context.member();
        if committed.is_some() {
            member.deliver_pending();
            member.flush();
        }
        let waits = member.active().any(Assignment::wants_commit);
        let now = monotonic();
        let is_due = now >= self.next || waits || !self.begin_requests.is_empty();
        if is_due && !link.is_stated() {
            let has_changes = |it: &Assignment| {
                let progress = it.progress.as_ref();
                progress.is_some_and(PartitionProgress::has_changes)
            };
            if member.active().any(has_changes) {
                link.want_offsets();
            }
            self.next = now + self.every;
        }
        drop(member);
        // A statement may be older than the request to begin.
        for (id, answer) in std::mem::take(&mut self.begin_requests) {
            let mut member = context.member();
            let progress = member.progress(id.assignment);
            let may_begin = progress.is_some_and(|progress| progress.may_begin(id.offset));
            drop(member);
            let _ = match (context.channel.is_live(id.assignment), may_begin) {
                (false, _) => answer.send(Err(Error::Lost)),
                (true, true) => answer.send(Ok(())),
                (true, false) => {
                    self.begin_requests.push((id, answer));
                    continue;
                }
            };
        }
        committed
    }

    /// Applies the result of a read-back.
    fn handle_answer(&mut self, context: &MemberContext, request: CommitRequest, durable: &[bool]) {
        self.last = request.entries.last().map_or(0, |last| last.assignment);
        let now = monotonic();
        self.next = if request.is_full {
            now
        } else {
            now + self.every
        };
        let is_refused = !durable.contains(&true);
        match durable.contains(&false) {
            false => self.failing = None,
            true => self.handle_refusal(context, &request.entries, durable),
        }
        match is_refused {
            true if request.entries.len() > 1 => context.request_size.note_refusal(request.bytes),
            true => {}
            false => context.request_size.note_success(),
        }
        self.confirm(context, request.entries, durable);
    }

    /// Handles commits that the broker refused. Metadata that is too long for the broker is shortened.
    fn handle_refusal(
        &mut self,
        context: &MemberContext,
        entries: &[CommitEntry],
        durable: &[bool],
    ) {
        let why = context.refusal();
        let too_long = description(RDKafkaErrorCode::OffsetMetadataTooLarge);
        if why.as_ref().is_some_and(|why| why.contains(&too_long)) {
            let refused = entries
                .iter()
                .zip(durable)
                .filter(|(_, durable)| !**durable);
            for (entry, _) in refused {
                if let Some(progress) = context.member().progress(entry.assignment) {
                    progress.shorten_text();
                }
            }
            if !std::mem::replace(&mut self.has_shortened, true) {
                tracing::warn!(
                    target: "kser_kafka",
                    group = context.group,
                    "commit failed: its metadata is longer than `offset.metadata.max.bytes` of the brokers; the \
                     metadata is shortened, and fewer records can be settled out of order: see `with_commit_metadata`",
                );
            }
        }
        let why = why.unwrap_or_else(|| "the brokers refuse it".to_owned());
        self.note_failure(context, AFTER_REFUSAL, &why);
    }

    /// Notes a failed commit, and schedules the next one.
    fn note_failure(&mut self, context: &MemberContext, pause: Duration, why: &dyn Display) {
        let now = monotonic();
        self.next = now + pause.max(self.every);
        tracing::debug!(target: "kser_kafka", group = context.group, %why, "commit failed");
        let say = self.failing.get_or_insert(now + SAY.0);
        if now >= *say {
            *say = now + SAY.1;
            tracing::warn!(
                target: "kser_kafka",
                group = context.group, %why,
                "commit failed: the offsets of group {}; records wait for the commit; retrying", context.group,
            );
        }
    }

    fn confirm(&mut self, context: &MemberContext, entries: Vec<CommitEntry>, durable: &[bool]) {
        for (entry, durable) in entries.into_iter().zip(durable) {
            if !durable {
                tracing::trace!(target: "kser_kafka", ?entry, "a commit differs from the offset that is read back");
                continue;
            }
            self.answer_begin_requests(context, |assignment| assignment == entry.assignment);
            if let Some(progress) = context.member().progress(entry.assignment) {
                progress.confirm(&entry.commit);
            }
        }
        let mut member = context.member();
        member.deliver_pending();
        member.flush();
    }

    /// Answers the callers whose suspected poison messages are named in a commit that is confirmed already.
    fn answer_unchanged(&mut self, context: &MemberContext) {
        self.answer_begin_requests(context, |assignment| {
            let mut member = context.member();
            let progress = member.progress(assignment);
            progress.is_none_or(|progress| !progress.has_changes())
        });
    }

    /// Answers the callers whose suspected poison messages are named in a commit, or whose partitions are lost.
    fn answer_begin_requests(&mut self, context: &MemberContext, is_written: impl Fn(u64) -> bool) {
        for (id, answer) in std::mem::take(&mut self.begin_requests) {
            let noted = match context.channel.is_live(id.assignment) {
                false => Err(Error::Lost),
                true if is_written(id.assignment) => Ok(()),
                true => {
                    self.begin_requests.push((id, answer));
                    continue;
                }
            };
            let _ = answer.send(noted);
        }
    }
}
