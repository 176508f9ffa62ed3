use kser::RunEvent;
use kser_core::store::OutputId;
use kser_core::{Message, Record, Status};

use crate::sim::{Guarantee, Published, State, Told};

/// Checks and notes a status of a run that is announced, where there is no store.
pub(crate) fn announced(state: &mut State, event: &RunEvent) {
    let exact = state.is_exact();
    let facts = state.facts.run(&event.run);
    facts.launched = true;
    facts.repaired |= event.replay;
    let before = facts.status;
    let ended = before.filter(|status| status.is_terminal());
    let (run, to) = (&event.run, event.status);
    // The first end counts; a row that may run twice may say so twice.
    if ended.is_some() && !event.replay {
        if let Some(from) = ended.filter(|from| exact && !facts.repaired && *from != to) {
            let what = format!("{run} was {from}, and is {to} now");
            state.facts.broke("OneTerminal", what);
        }
        return;
    }
    if exact && before == Some(Status::Running) && to == Status::Pending {
        let what = format!("{run} went back from RUNNING to PENDING");
        state.facts.broke("StatusMonotonic", what);
    }
    let outcome = event.outcome.clone().unwrap_or_default();
    state.stands(run, to, outcome);
}

/// Checks that a dead letter has the bytes that were sent, and a reason.
pub(crate) fn letter(state: &mut State, record: &Record, label: &str) {
    let mut sent = state.broker.all();
    let changed = !sent.any(|sent| sent.record.payload == record.payload);
    let mut headers = record.headers.iter();
    let silent = !headers.any(|(name, _)| name == "kser-error");
    drop(sent);
    for (wrong, how) in [
        (changed, "has other bytes than were sent"),
        (silent, "gives no reason"),
    ] {
        if wrong {
            let what = format!("{label} {how}");
            state.facts.broke("DeadLetterOnce", what);
        }
    }
}

/// Checks and notes a message that is published.
pub(crate) fn published(state: &mut State, message: &Message, label: &str, letter: bool) {
    let exact = state.is_exact();
    let task = state.facts.task(&message.uuid).clone();
    if letter && task.letters > 1 && exact && state.guarantee() == Guarantee::ExactlyOnce {
        let what = format!("{label} is written a second time");
        state.facts.broke("DeadLetterOnce", what);
    }
    let Some(envelope) = message.metadata.envelope() else {
        return;
    };
    let count = state.broker.next_number();
    let facts = state.facts.run(&envelope.run);
    facts.launched = true;
    facts.latest = count;
    let metadata = message.metadata.user_fields();
    let first = facts.metadata.get_or_insert_with(|| metadata.clone());
    let kept = *first == metadata;
    let repaired = facts.repaired;
    if !kept {
        let what = format!("{label} has other metadata than what came before it in its run");
        state.facts.broke("Envelope", what);
    }
    let twice = envelope.step > 0 && task.sent > 1 && !letter;
    if twice && exact && !repaired && state.guarantee() == Guarantee::ExactlyOnce {
        let what = format!("{label} is sent a second time: the step before it was accepted twice");
        state.facts.broke("AcceptedOnce", what);
    }
}

/// Checks a record that a settle publishes: the store has each message that a step of a stored run sends, because the message
/// is published after its attempt is accepted.
pub(crate) fn sent(state: &mut State, serial: u64, told: &Told, record: &Record) {
    let letter = record.topic.as_str().ends_with(".dlt");
    if state.guarantee() != Guarantee::Stored || letter {
        return;
    }
    let delivery = state.broker.published_of(serial);
    let step = delivery.as_ref().and_then(|one| one.told.message());
    let run = step.and_then(|step| Some(&step.metadata.envelope()?.run));
    let (Some(run), Some(message)) = (run, told.message()) else {
        return;
    };
    let own = message.metadata.envelope();
    let own = own.is_some_and(|envelope| envelope.run == *run);
    let kept = |payload| state.facts.kept.contains(payload);
    if !own && !record.payload.as_ref().is_some_and(kept) {
        let label = state.labels.message(message);
        let what =
            format!("{label} is published, and the store has no attempt of {run} that has sent it");
        state.facts.broke("OutputsAccepted", what);
    }
}

/// Checks that an output of the store that is marked as relayed was published, or its dead letter was.
pub(crate) fn relayed(state: &mut State, output: &OutputId, record: &Record) {
    let published = state
        .broker
        .all()
        .any(|sent| sent.record.payload == record.payload);
    if !published {
        let what = format!(
            "output {} of version {} of {} is marked as relayed, and was never published",
            output.index, output.version, output.run
        );
        state.facts.broke("RelayedIsPublished", what);
    }
}

/// Checks that the result of a record is durable when the record leaves its topic.
pub(crate) fn committed(state: &mut State, done: &Published) {
    let Published { label, number, .. } = done;
    let lost = match &done.told {
        Told::Event(_) => false,
        Told::Bytes => {
            let payload = done.record.payload.clone().unwrap_or_default();
            !state.facts.letters.contains_key(&payload)
        }
        Told::Message(message) => match message.metadata.envelope() {
            // The store is the truth.
            Some(_) if state.guarantee() == Guarantee::Stored => false,
            Some(envelope) => {
                let run = state.facts.run(&envelope.run);
                let ended = run.status.is_some_and(|status| status.is_terminal());
                run.latest <= *number && !ended
            }
            None if state.facts.watched.contains(&message.entrypoint) => {
                let task = state.facts.task(&message.uuid);
                task.ended == task.failed && task.latest <= *number
            }
            None => false,
        },
    };
    if lost {
        let what = format!("the record of {label} left its topic, and nothing followed from it");
        state.facts.broke("CommitAfterDurable", what);
    }
}
