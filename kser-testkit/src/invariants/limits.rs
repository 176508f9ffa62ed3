use crate::sim::{Facts, Published, RunView};

/// Checks the number of handlers that a consumer runs at once, after it has started one more.
pub(crate) fn check_running(facts: &mut Facts, view: RunView<'_>, life: usize) {
    let running = view.running(life);
    let most = view.limits(life).map(|limits| limits.running);
    if let Some(most) = most.filter(|most| running > *most) {
        let name = view.process(life).unwrap_or_default();
        let what = format!("{name} runs {running} tasks at once, and may run {most}");
        facts.add_violation("Backpressure", what);
    }
}

/// The deliveries that a consumer may have handed in, for each that it may hold.
const HANDED_IN: usize = 4;

/// Checks the number of records that a consumer holds when it receives one more. Retries that the consumer waits for in
/// memory do not count, and deliveries that are handed in have a limit of their own.
pub(crate) fn check_held(facts: &mut Facts, view: RunView<'_>, life: usize) {
    let Some(limits) = view.limits(life) else {
        return;
    };
    let held = view.held(life);
    let most = limits.held + view.handed_in(life).min(limits.held * HANDED_IN);
    if held.len() <= most {
        return;
    }
    let counted = held.iter().filter(|one| !waits_for_retry(facts, life, one));
    let counted = counted.count();
    if counted > most {
        let name = view.process(life).unwrap_or_default();
        let what = format!("{name} holds {counted} records, and may hold {most}");
        facts.add_violation("Backpressure", what);
    }
}

/// Says whether the latest attempt at a message in this life of the consumer has failed.
fn waits_for_retry(facts: &Facts, life: usize, held: &Published) -> bool {
    let Some(message) = held.decoded.message() else {
        return false;
    };
    let mut attempts = facts.attempts.iter().rev();
    let latest = attempts.find(|ran| ran.life == life && ran.task == message.uuid);
    latest.is_some_and(|ran| ran.ended && ran.left.is_none())
}
