//! Single facts. `against_model` combines them at random.

mod against_model;
mod counting;
mod doing;
mod model;
mod texts;
mod transactions;
mod truncation;

use super::*;

fn start() -> PartitionProgress {
    PartitionProgress::take_over(Some(0), "", WriterId::new(), MetadataBudget::default())
}

/// Makes a partition that has received these records, with the smallest metadata limit.
fn received(offsets: Range<i64>) -> PartitionProgress {
    let budget = MetadataBudget::new(MetadataBudget::SMALLEST).expect("the smallest");
    let mut progress =
        PartitionProgress::take_over(Some(offsets.start), "", WriterId::new(), budget);
    for offset in offsets {
        assert_eq!(progress.receive(offset), Some(0));
    }
    progress
}

fn confirm(progress: &mut PartitionProgress) -> Commit {
    let commit = progress.commit().expect("it has a start");
    progress.confirm(&commit);
    commit
}

fn succeed(commit: &Commit) -> PartitionProgress {
    take_over(commit, WriterId::new())
}

fn take_over(commit: &Commit, writer: WriterId) -> PartitionProgress {
    PartitionProgress::take_over(
        Some(commit.offset),
        &commit.metadata,
        writer,
        MetadataBudget::default(),
    )
}

/// Returns those of the offsets that the next owner has to deliver.
fn delivered(progress: &mut PartitionProgress, offsets: Range<i64>) -> Vec<i64> {
    offsets
        .filter(|offset| progress.receive(*offset).is_some())
        .collect()
}
