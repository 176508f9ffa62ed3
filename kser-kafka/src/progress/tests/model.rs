//! A naive model of the progress of a partition.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// The fate of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    /// The broker has the commit, and its owner does not know.
    Durable,
    Confirmed,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    /// This many records with this many offsets between them.
    Publish(usize, i64),
    Receive(usize),
    ReceiveAgain(usize),
    /// Starts those of this many held records that may start. Suspected poison messages only with `begin`.
    Run(usize),
    Begin(usize),
    Release(usize),
    Done(usize),
    /// Ends each nth held record.
    DoneEach(usize),
    Commit(Fate),
    LeaveGracefully(Fate),
    /// The owner loses the partition without a final commit, and gets it again.
    LoseAndRegain,
    Crash,
    /// A crash, after which the next owner knows the end of the log.
    CrashThenLogEnd,
}

/// The meaning of a commit.
#[derive(Debug, Clone)]
struct Meaning {
    writer: WriterId,
    done: BTreeSet<i64>,
    counts: Vec<u32>,
    begun: BTreeSet<i64>,
    failed: BTreeMap<i64, u32>,
    ahead: i64,
    is_final: bool,
}

/// An owner of the partition, whose progress is checked.
#[derive(Debug)]
struct Owner {
    writer: WriterId,
    progress: PartitionProgress,
    position: i64,
    /// The received records.
    received: BTreeSet<i64>,
    done: BTreeSet<i64>,
    /// The counts by offset; 0 above its end.
    counts: Vec<u32>,
    begun: BTreeSet<i64>,
    running: BTreeSet<i64>,
    /// The numbers of failed attempts at released records.
    failed: BTreeMap<i64, u32>,
}

#[derive(Debug)]
pub(super) struct World {
    /// The limit of the metadata.
    budget: usize,
    /// The offsets with a record.
    log: BTreeSet<i64>,
    end: i64,
    broker: Option<(Commit, Meaning)>,
    owner: Owner,
}

impl Owner {
    fn new(committed: Option<i64>, metadata: &str, writer: WriterId, budget: usize) -> Self {
        let budget = MetadataBudget::new(budget).expect("large enough");
        Self {
            writer,
            progress: PartitionProgress::take_over(committed, metadata, writer, budget),
            position: committed.unwrap_or(0),
            received: BTreeSet::new(),
            done: BTreeSet::new(),
            counts: Vec::new(),
            begun: BTreeSet::new(),
            running: BTreeSet::new(),
            failed: BTreeMap::new(),
        }
    }

    fn held(&self) -> Vec<i64> {
        self.received.difference(&self.done).copied().collect()
    }

    fn count(&self, offset: i64) -> u32 {
        self.counts.get(offset as usize).copied().unwrap_or(0)
    }

    fn mark_done(&mut self, offset: i64) {
        self.progress.mark_done(offset);
        self.done.insert(offset);
        self.begun.remove(&offset);
        self.running.remove(&offset);
        self.failed.remove(&offset);
    }

    fn pick(&self, at: usize) -> Option<i64> {
        let held = self.held();
        (!held.is_empty()).then(|| held[at % held.len()])
    }
}

impl World {
    pub(super) fn new(budget: usize) -> Self {
        Self {
            budget,
            log: BTreeSet::new(),
            end: 0,
            broker: None,
            owner: Owner::new(None, "", WriterId::new(), budget),
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Publish(n, gap) => self.publish(n, gap),
            Action::Receive(n) => self.receive(n),
            Action::ReceiveAgain(at) => self.receive_again(at),
            Action::Run(n) => (0..n).for_each(|at| self.run(at)),
            Action::Begin(at) => self.begin(at),
            Action::Release(at) => self.release(at),
            Action::Done(at) => self.mark_done(at),
            Action::DoneEach(step) => self
                .owner
                .held()
                .into_iter()
                .step_by(step)
                .for_each(|offset| self.owner.mark_done(offset)),
            Action::Commit(fate) => self.commit(fate, false),
            Action::LeaveGracefully(fate) => {
                self.commit(fate, true);
                self.succeed(WriterId::new(), false);
            }
            Action::LoseAndRegain => self.succeed(self.owner.writer, false),
            Action::Crash => self.succeed(WriterId::new(), false),
            Action::CrashThenLogEnd => self.succeed(WriterId::new(), true),
        }
        self.check();
    }

    fn publish(&mut self, n: usize, gap: i64) {
        for _ in 0..n {
            self.log.insert(self.end + gap);
            self.end += gap + 1;
        }
    }

    fn receive(&mut self, n: usize) {
        let records: Vec<i64> = self
            .log
            .range(self.owner.position..)
            .take(n)
            .copied()
            .collect();
        for offset in records {
            let owner = &mut self.owner;
            let expected = (!owner.done.contains(&offset)).then(|| owner.count(offset));
            assert_eq!(owner.progress.receive(offset), expected, "{offset} arrives");
            owner.position = offset + 1;
            owner.received.insert(offset);
        }
    }

    fn receive_again(&mut self, at: usize) {
        let before: Vec<i64> = self.log.range(..self.owner.position).copied().collect();
        if !before.is_empty() {
            assert_eq!(self.owner.progress.receive(before[at % before.len()]), None);
        }
    }

    fn run(&mut self, at: usize) {
        let Some(offset) = self.owner.pick(at) else {
            return;
        };
        if self.owner.progress.may_begin(offset) {
            assert!(self.owner.count(offset) < 2 || self.owner.begun.contains(&offset));
            self.owner.running.insert(offset);
        }
    }

    fn begin(&mut self, at: usize) {
        let Some(offset) = self.owner.pick(at) else {
            return;
        };
        self.owner.progress.begin(offset);
        if self.owner.count(offset) >= 2 {
            self.owner.begun.insert(offset);
        }
    }

    fn release(&mut self, at: usize) {
        let Some(offset) = self.owner.pick(at) else {
            return;
        };
        let failed = self.owner.failed.entry(offset).or_default();
        *failed += 1;
        self.owner.progress.release(offset, *failed);
        self.owner.begun.remove(&offset);
        self.owner.running.remove(&offset);
    }

    fn mark_done(&mut self, at: usize) {
        if let Some(offset) = self.owner.pick(at) {
            self.owner.mark_done(offset);
        }
    }

    fn commit(&mut self, fate: Fate, is_final: bool) {
        let owner = &mut self.owner;
        let progress = &mut owner.progress;
        let Some(commit) = (if is_final {
            progress.final_commit()
        } else {
            progress.commit()
        }) else {
            assert!(owner.received.is_empty());
            return;
        };
        assert!(commit.metadata.len() <= self.budget);
        if let Some(oldest) = owner.held().first() {
            assert_eq!(commit.offset, *oldest, "the first that is not done");
        }
        let meaning = Meaning {
            writer: owner.writer,
            done: owner.done.clone(),
            counts: owner.counts.clone(),
            begun: owner.begun.clone(),
            failed: owner.failed.clone(),
            ahead: commit.ahead,
            is_final,
        };
        if fate == Fate::Confirmed {
            owner.progress.confirm(&commit);
            assert!(!owner.progress.has_changes());
        }
        if fate != Fate::Lost {
            self.broker = Some((commit, meaning));
        }
    }

    /// Lets an owner take over the commit that the broker has, and counts crashed deliveries by it.
    fn succeed(&mut self, writer: WriterId, knows_end: bool) {
        let Some((commit, meaning)) = &self.broker else {
            self.owner = Owner::new(None, "", writer, self.budget);
            return;
        };
        let died = !meaning.is_final && meaning.writer != writer;
        let (at, text) = (Some(commit.offset), &commit.metadata);
        let take_over = || Owner::new(at, text, writer, self.budget);
        let mut owner = take_over();
        owner.done = kept(take_over().progress, commit, meaning, &self.log);
        for offset in 0..meaning.ahead.max(meaning.counts.len() as i64) {
            let before = meaning.counts.get(offset as usize).copied().unwrap_or(0);
            let begun = if before < 2 {
                offset < meaning.ahead
            } else {
                meaning.begun.contains(&offset)
            };
            let may_be = !(knows_end && offset >= self.end);
            owner.counts.push(if may_be {
                before + u32::from(begun && died)
            } else {
                0
            });
        }
        if died {
            for offset in &self.owner.running {
                assert_eq!(
                    owner.count(*offset),
                    self.owner.count(*offset) + 1,
                    "{offset} ran"
                );
            }
        }
        owner.failed = kept_failed(&owner.progress, commit, meaning);
        if knows_end {
            owner.progress.note_log_end(self.end);
            drop(owner.failed.split_off(&self.end));
        }
        self.owner = owner;
    }

    fn check(&self) {
        let (owner, progress) = (&self.owner, &self.owner.progress);
        let held = owner.held();
        assert_eq!(
            (progress.n_held(), progress.oldest_held()),
            (held.len(), held.first().copied())
        );
        for offset in owner.received.iter().chain(owner.failed.keys()) {
            let failed = owner.failed.get(offset).copied().unwrap_or_default();
            assert_eq!(progress.n_failed(*offset), failed, "of {offset}");
        }
        let suspects = held.iter().filter(|offset| owner.count(**offset) >= 2);
        assert_eq!(progress.n_suspects(), suspects.count());
        let waits = |offset: &i64| owner.count(*offset) < 2 || owner.begun.contains(offset);
        if held
            .iter()
            .any(|offset| waits(offset) && !progress.may_begin(*offset))
            && !progress.left
        {
            assert!(progress.is_urgent(), "a record waits for a commit");
        }
    }

    /// Lets a last owner end all records: then each record was done by some owner.
    pub(super) fn finish(&mut self) {
        self.succeed(WriterId::new(), false);
        self.receive(usize::MAX);
        self.act(Action::DoneEach(2));
        self.act(Action::DoneEach(1));
        assert_eq!(self.owner.done, self.log);
        let last = self.log.last().map(|last| last + 1);
        let committed = self.owner.progress.commit().map(|commit| commit.offset);
        assert!(committed >= last, "{committed:?} of {last:?}");
    }
}

/// Returns the numbers of failed attempts in the metadata of a commit: all up to some offset.
fn kept_failed(
    successor: &PartitionProgress,
    commit: &Commit,
    meaning: &Meaning,
) -> BTreeMap<i64, u32> {
    let told = meaning.failed.range(commit.offset..);
    let told = told.map(|(offset, failed)| (*offset, *failed));
    let kept: BTreeMap<i64, u32> = told
        .clone()
        .take_while(|(offset, _)| successor.n_failed(*offset) > 0)
        .collect();
    for (offset, failed) in told {
        let expected = kept.get(&offset).copied().unwrap_or_default();
        assert_eq!(successor.n_failed(offset), expected, "{failed} of {offset}");
        assert!(expected == 0 || expected == failed);
    }
    kept
}

/// Returns the done offsets in the metadata of a commit: all, or all up to some offset.
fn kept(
    mut successor: PartitionProgress,
    commit: &Commit,
    meaning: &Meaning,
    log: &BTreeSet<i64>,
) -> BTreeSet<i64> {
    let above = log.range(commit.offset..).copied();
    let kept: BTreeSet<i64> = above
        .filter(|offset| successor.receive(*offset).is_none())
        .collect();
    assert!(kept.is_subset(&meaning.done), "nothing is lost");
    let left_out = meaning
        .done
        .range(commit.offset..)
        .find(|offset| !kept.contains(offset));
    assert_eq!(left_out.is_none(), commit.is_complete);
    if let (Some(left_out), Some(kept)) = (left_out, kept.last()) {
        assert!(kept < left_out);
    }
    meaning
        .done
        .range(..commit.offset)
        .copied()
        .chain(kept)
        .collect()
}
