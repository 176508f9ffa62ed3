use crate::sim::{CommitMove, Facts};

/// Checks a commit of a group in a partition: all records below it are done, and it does not go back.
pub(crate) fn check_commit(facts: &mut Facts, label: &str, moved: CommitMove) {
    let CommitMove {
        spot,
        before,
        after,
    } = moved;
    facts.done.insert(spot.clone());
    let passed = (before..after).find(|offset| {
        let mut passed = spot.clone();
        passed.offset = *offset;
        !facts.done.contains(&passed)
    });
    let place = format!("{}:{}", spot.topic, spot.partition);
    if let Some(offset) = passed {
        let what = format!(
            "the commit of {label} takes {place} from {before} to {after}, and {offset} is not done"
        );
        facts.add_violation("CommitPrefix", what);
    }
    if after < before {
        let what = format!("the commit of {label} takes {place} from {before} back to {after}");
        facts.add_violation("CommitMonotonic", what);
    }
}
