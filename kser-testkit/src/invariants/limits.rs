use crate::sim::{Published, State};

/// Checks the number of handlers that a consumer runs at once when it starts one more.
pub(crate) fn one_more_runs(state: &mut State, life: usize) {
    let of = &mut state.lives[life];
    of.running += 1;
    let most = of.limits.map(|limits| limits.running);
    if let Some(most) = most.filter(|most| of.running > *most) {
        let what = format!(
            "{} runs {} tasks at once, and may run {most}",
            of.name, of.running
        );
        state.facts.broke("Backpressure", what);
    }
}

/// Checks the number of records that a consumer holds when it receives one more. Retries that the consumer waits for in
/// memory do not count.
pub(crate) fn one_more_held(state: &mut State, life: usize) {
    let of = &state.lives[life];
    let Some(limits) = of.limits else {
        return;
    };
    let held = state.broker.held_by(&of.members);
    if held.len() <= limits.held {
        return;
    }
    let counted = held.iter().filter(|one| !waits_for_retry(state, life, one));
    let counted = counted.count();
    if counted > limits.held {
        let what = format!(
            "{} holds {counted} records, and may hold {}",
            of.name, limits.held
        );
        state.facts.broke("Backpressure", what);
    }
}

/// Says whether the latest attempt at a message in this life of the consumer has failed.
fn waits_for_retry(state: &State, life: usize, held: &Published) -> bool {
    let Some(message) = held.told.message() else {
        return false;
    };
    let mut attempts = state.facts.attempts.iter().rev();
    let latest = attempts.find(|ran| ran.life == life && ran.task == message.uuid);
    latest.is_some_and(|ran| ran.ended && ran.left.is_none())
}
