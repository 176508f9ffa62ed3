use std::collections::BTreeMap;

use crate::sim::{EffectFacts, Finished, Moment};
use crate::violation::Violation;

/// Checks that each effect of a task is done once for it.
pub(super) fn judge<S>(finished: &Finished<S>) -> Option<Violation> {
    done_twice(finished).or_else(|| key_of_another(finished))
}

/// Checks that no task gives the key of another task, because the service would not do its effect at all.
fn key_of_another<S>(finished: &Finished<S>) -> Option<Violation> {
    finished.observe(|facts, _| {
        let effects = &facts.effects;
        let mut repeated = effects.iter().filter(|one| one.repeated);
        repeated.find_map(|again| {
            let named = |one: &&EffectFacts| {
                one.service == again.service && one.what == again.what && one.key == again.key
            };
            let first = effects.iter().find(named)?;
            if first.task == again.task || (first.shared_key && again.shared_key) {
                return None;
            }
            let (label, other) = (&again.label, &first.label);
            let what = format!(
                "{label} gives {}.{} the key of {other}: the service does it for the first only. Use \
                 ctx.idempotency_key(), or with_shared_key if one is to do it for both",
                again.service, again.what
            );
            Some(Violation::new("EffectOnce", what))
        })
    })
}

fn done_twice<S>(finished: &Finished<S>) -> Option<Violation> {
    finished.observe(|facts, _| {
        let mut done: BTreeMap<_, Vec<&EffectFacts>> = BTreeMap::new();
        for effect in facts.effects.iter().filter(|effect| !effect.repeated) {
            if !finished.repeatable.contains(&effect.service) {
                let named = (&effect.service, &effect.what, &effect.task);
                done.entry(named).or_default().push(effect);
            }
        }
        let twice = done.into_values().find(|effects| effects.len() > 1)?;
        Some(Violation::new("EffectOnce", describe(&twice)))
    })
}

fn describe(effects: &[&EffectFacts]) -> String {
    let Some(first) = effects.first() else {
        return String::new();
    };
    let times = effects
        .iter()
        .map(|one| format!("at {} by {}", Moment(one.at), one.by));
    let times: Vec<String> = times.collect();
    let keys = match first.key {
        None => "; it was called without an idempotency key",
        Some(_) => "; it was called with another key each time",
    };
    let (service, what, label) = (&first.service, &first.what, &first.label);
    let (count, times) = (effects.len(), times.join(" and "));
    format!("{label} did {service}.{what} {count} times ({times}){keys}")
}
