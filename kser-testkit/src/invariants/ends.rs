use kser_core::{Status, Topic};

use crate::sim::{End, Facts, Finished, RunView};
use crate::violation::Violation;

/// Checks that all requested work comes to an end.
pub(super) fn judge<S>(finished: &Finished<S>) -> Option<Violation> {
    match &finished.end {
        End::Done => leaks(finished).or_else(|| finished.observe(find_lost)),
        // The violation is reported already.
        End::Broken => None,
        End::Panicked(what) => Some(Violation::new("NoPanic", what.clone())),
        End::Endless => {
            let what = format!(
                "the run goes on and on: {} calls were made in {:?}, more than 20,000 of them within an hour",
                finished.steps, finished.elapsed
            );
            Some(Violation::new("NoLivelock", what))
        }
        End::Late => Some(
            finished
                .observe(|facts, view| never_seen(facts).unwrap_or_else(|| left_over(facts, view))),
        ),
    }
}

/// Returns an acknowledged run or a lone task that is missing at the end.
pub(crate) fn find_lost(facts: &mut Facts, view: RunView<'_>) -> Option<Violation> {
    let lost = never_seen(facts).or_else(|| unread(facts, view));
    lost.or_else(|| never_run(facts, view))
}

/// Checks that the end of each run was published as an event.
pub(super) fn unannounced<S>(finished: &Finished<S>) -> Option<Violation> {
    finished.observe(|facts, _| never_announced(facts))
}

fn never_announced(facts: &Facts) -> Option<Violation> {
    let mut runs = facts.runs.iter().filter(|(_, run)| run.launched);
    let lost = runs.find_map(|(id, run)| {
        let ended = run.status.filter(|status| status.is_terminal())?;
        (!run.announced.contains(&ended)).then_some((id, ended))
    });
    lost.map(|(id, ended)| {
        let what = format!("{id} is {ended}, and no event was published that says so");
        Violation::new("EndAnnounced", what)
    })
}

/// Returns an acknowledged run or lone task of which nothing was ever seen.
fn never_seen(facts: &Facts) -> Option<Violation> {
    let lost = facts.acknowledged.iter().find(|id| {
        let run = facts.runs.get(*id).is_some_and(|run| run.launched);
        let task = facts
            .tasks
            .get(id.as_str())
            .is_some_and(|task| task.first > 0);
        !run && !task
    })?;
    let what = format!("{lost} was acknowledged, and nothing of it was ever seen");
    Some(Violation::new("NothingLost", what))
}

/// Checks that a consumer reads the topic of each lone task.
fn unread(facts: &Facts, view: RunView<'_>) -> Option<Violation> {
    let unread = |topic: &Topic| !view.is_read(topic) && !facts.outside.contains(topic);
    let lost = facts.tasks.iter().find_map(|(id, task)| {
        let topic = task.alone_in.as_ref().filter(|topic| unread(topic))?;
        (task.ended == 0 && task.letters == 0).then_some((id, topic))
    });
    lost.map(|(id, topic)| {
        let label = view.task_label(id);
        let what = format!(
            "{label} was sent to the topic {topic}, which no consumer reads: give a consumer its handler, or name the topic \
             with `world.outside({:?})` if a service outside of the simulation reads it",
            topic.as_str()
        );
        Violation::new("NothingLost", what)
    })
}

/// Returns a lone task that was sent, has left its topic, and never ran.
fn never_run(facts: &Facts, view: RunView<'_>) -> Option<Violation> {
    let mut tasks = facts.tasks.iter();
    let lost = tasks.find(|(_, task)| task.lone && task.ended == 0 && task.letters == 0);
    lost.map(|(id, _)| {
        let label = view.task_label(id);
        Violation::new("NothingLost", format!("{label} was sent, and never ran"))
    })
}

/// Describes the work that is not done.
fn left_over(facts: &Facts, view: RunView<'_>) -> Violation {
    let now = view.now();
    let runs = facts.runs.iter().filter(|(_, run)| run.launched);
    let open = runs.filter(|(_, run)| !run.status.is_some_and(|status| status.is_terminal()));
    let open = open.map(|(id, run)| match run.status {
        Some(status) => format!("{id} is {status}"),
        None => format!("nothing was seen of {id} but its launch"),
    });
    let open: Vec<String> = open.collect();
    let waiting = view.waiting().into_iter();
    let waiting =
        waiting.map(|one| format!("the record of {} waits in {}", one.label, one.record.topic));
    let waiting: Vec<String> = waiting.collect();
    // Attempts of a crashed process do not count; the latest attempt at a task may be one of a living process.
    let open_end = facts.attempts.iter().rev().find(|ran| !ran.ended);
    let stuck = open_end.filter(|ran| {
        facts
            .attempts
            .iter()
            .rev()
            .find(|one| one.task == ran.task)
            .is_some_and(|last| !last.ended)
    });
    let stuck = stuck.map(|ran| {
        format!(
            "; the handler of {} does not return: does it sleep for longer than `heal_within` ({now:?}), or wait for \
             something outside the simulation, such as a thread or a lock?",
            ran.label
        )
    });
    let stuck = stuck.unwrap_or_default();
    let outputs = view.outputs();
    let (invariant, left) = match (open.is_empty(), waiting.is_empty(), outputs) {
        (false, ..) => ("Terminal", [open, waiting].concat().join("; ")),
        (true, false, _) => ("Redelivery", waiting.join("; ")),
        (true, true, 0) => (
            "Terminal",
            "a client or a consumer has not come to its end".to_owned(),
        ),
        (true, true, _) => ("NothingLost", format!("{outputs} outputs are not relayed")),
    };
    Violation::new(
        invariant,
        format!("after {now:?} this is left: {left}{stuck}"),
    )
}

/// Checks that the tasks that handlers have spawned end with the handlers.
fn leaks<S>(finished: &Finished<S>) -> Option<Violation> {
    let leaked = finished.leaked;
    (leaked > 0).then(|| {
        let what = format!(
            "{leaked} tasks outlive their consumers: a handler has spawned them, and a crash does not end them. Await \
             what you spawn, or abort it when the handler is dropped (tokio::task::JoinSet does)"
        );
        Violation::new("NoLeak", what)
    })
}

/// Checks that the test asks how each lone task ended that failed.
pub(super) fn unasked<S>(finished: &Finished<S>) -> Option<Violation> {
    finished.observe(|facts, view| {
        // `NothingRan` says more.
        if facts.attempts.is_empty() {
            return None;
        }
        let tasks = facts.tasks.iter().filter(|(_, task)| task.is_alone());
        let mut failed = tasks.filter(|(_, task)| task.status() == Status::Failed);
        let (id, task) = failed.find(|(id, _)| !facts.asked.contains(id.as_str()))?;
        let label = view.task_label(id);
        let what = format!(
            "{label} has failed, and the check does not ask how it ended: {}. Assert it with `run.assert_failed(id)` or \
             `run.assert_succeeded(id)`, or look at `run.status(id)` or `run.tasks()`",
            task.outcome.shown()
        );
        Some(Violation::new("NoSilentFailure", what))
    })
}
