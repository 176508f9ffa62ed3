use crate::sim::State;

/// A consumer runs one more handler, of those that it may run at once.
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

/// A consumer is given one more record, of those that it may hold.
pub(crate) fn one_more_held(state: &mut State, life: usize) {
    let of = &state.lives[life];
    let Some(limits) = of.limits else {
        return;
    };
    let held = state.broker.held_by(&of.members);
    if held > limits.held {
        let what = format!(
            "{} holds {held} records, and may hold {}",
            of.name, limits.held
        );
        state.facts.broke("Backpressure", what);
    }
}
