use crate::sim::{Facts, Guarantee, RunView, TaskFacts};

/// Checks, whenever records are gone, that each run and lone task has ended, or that a record is left from which it goes on.
pub(crate) fn check_conservation(facts: &mut Facts, view: RunView<'_>) {
    let left = view.unsettled();
    let before = std::mem::replace(&mut facts.in_flight, left);
    if left >= before {
        return;
    }
    if let Some(id) = lost_run(facts, view).or_else(|| lost_task(facts, view)) {
        let what = format!(
            "{id} has neither succeeded nor failed, is in no dead letter, and no record of it is left"
        );
        facts.add_violation("Conservation", what);
    }
}

/// Returns a run without a record. Stored runs are left out, because the store has them and sees to their records.
fn lost_run(facts: &Facts, view: RunView<'_>) -> Option<String> {
    if view.guarantee() == Guarantee::Stored {
        return None;
    }
    let runs = facts.runs.iter();
    let mut open = runs.filter(|(_, run)| run.launched && !run.is_over());
    let lost = open.find(|(id, _)| {
        let messages = view.in_flight().filter_map(|one| one.decoded.message());
        let mut envelopes = messages.filter_map(|message| message.metadata.envelope());
        !envelopes.any(|envelope| envelope.run == **id)
    });
    lost.map(|(id, _)| id.to_string())
}

fn lost_task(facts: &Facts, view: RunView<'_>) -> Option<String> {
    let mut open = facts.tasks.iter().filter(|(_, task)| is_open(task));
    let lost = open.find(|(id, _)| {
        let mut messages = view.in_flight().filter_map(|one| one.decoded.message());
        !messages.any(|message| message.uuid == **id)
    });
    lost.map(|(id, _)| id.to_string())
}

/// Says whether a lone task has neither succeeded nor become a dead letter.
const fn is_open(task: &TaskFacts) -> bool {
    task.lone && task.first > 0 && task.ended == task.failed && task.letters == 0
}
