use kser::run::RunEvent;
use kser_core::store::OutputId;
use kser_core::{Message, Record, Status};

use crate::sim::{Decoded, Facts, Guarantee, Published, RunView};

/// Checks and notes a status of a run that is announced, where there is no store.
pub(crate) fn observe_event(facts: &mut Facts, view: RunView<'_>, event: &RunEvent) {
    let exact = view.is_exact();
    let known = facts.run(&event.run);
    known.launched = true;
    known.repaired |= event.replay;
    let (before, repaired) = (known.status, known.repaired);
    let ended = before.filter(|status| status.is_terminal());
    let (run, to) = (&event.run, event.status);
    // The first end counts; a row that may run twice may say so twice.
    if ended.is_some() && !event.replay {
        if let Some(from) = ended.filter(|from| exact && !repaired && *from != to) {
            let what = format!("{run} was {from}, and is {to} now");
            facts.add_violation("OneTerminal", what);
        }
        return;
    }
    if exact && before == Some(Status::Running) && to == Status::Pending {
        let what = format!("{run} went back from RUNNING to PENDING");
        facts.add_violation("StatusMonotonic", what);
    }
    let outcome = event.outcome.clone().unwrap_or_default();
    facts.run(run).set_status(to, outcome);
}

/// Checks that a dead letter has the bytes that were sent, and a reason.
pub(crate) fn check_dead_letter(
    facts: &mut Facts,
    view: RunView<'_>,
    record: &Record,
    label: &str,
) {
    let mut sent = view.records();
    let changed = !sent.any(|sent| sent.record.payload == record.payload);
    let message = record.payload.as_deref().map(Message::decode);
    // A step that began with the end of the one before was not sent, unless a sweep published it as begun.
    let in_a_row = message.and_then(Result::ok).is_some_and(|message| {
        message.metadata.envelope().is_some_and(|envelope| {
            let is_stored = facts.run(&envelope.run).stored.is_some();
            envelope.started || is_stored && facts.task(&message.uuid).sent == 0
        })
    });
    let changed = changed && !in_a_row;
    let mut headers = record.headers.iter();
    let silent = !headers.any(|(name, _)| name == "kser-error");
    for (wrong, how) in [
        (changed, "has other bytes than were sent"),
        (silent, "gives no reason"),
    ] {
        if wrong {
            let what = format!("{label} {how}");
            facts.add_violation("DeadLetterOnce", what);
        }
    }
}

/// Checks and notes a message that is published.
pub(crate) fn observe_message(
    facts: &mut Facts,
    view: RunView<'_>,
    message: &Message,
    label: &str,
    letter: bool,
) {
    let exact = view.is_exact();
    let task = facts.task(&message.uuid);
    let (letters, sent) = (task.letters, task.sent);
    if letter && letters > 1 && exact && view.guarantee() == Guarantee::ExactlyOnce {
        let what = format!("{label} is written a second time");
        facts.add_violation("DeadLetterOnce", what);
    }
    let Some(envelope) = message.metadata.envelope() else {
        return;
    };
    let run = facts.run(&envelope.run);
    run.launched = true;
    run.latest = view.next_number();
    let metadata = message.metadata.user_fields();
    let first = run.metadata.get_or_insert_with(|| metadata.clone());
    let kept = *first == metadata;
    let repaired = run.repaired;
    if !kept {
        let what = format!("{label} has other metadata than what came before it in its run");
        facts.add_violation("Envelope", what);
    }
    let twice = envelope.step > 0 && sent > 1 && !letter;
    if twice && exact && !repaired && view.guarantee() == Guarantee::ExactlyOnce {
        let what = format!("{label} is sent a second time: the step before it was accepted twice");
        facts.add_violation("AcceptedOnce", what);
    }
}

/// Checks a record that a settle publishes: the store has each message that a step of a stored run sends, because the message
/// is published after its attempt is accepted.
pub(crate) fn check_output(
    facts: &mut Facts,
    view: RunView<'_>,
    serial: u64,
    (record, decoded, label): (&Record, &Decoded, &str),
) {
    let letter = record.topic.as_str().ends_with(".dlt");
    if view.guarantee() != Guarantee::Stored || letter {
        return;
    }
    let delivery = view.delivered(serial);
    let step = delivery.as_ref().and_then(|one| one.decoded.message());
    let run = step.and_then(|step| Some(&step.metadata.envelope()?.run));
    let (Some(run), Some(message)) = (run, decoded.message()) else {
        return;
    };
    let own = message.metadata.envelope();
    let own = own.is_some_and(|envelope| envelope.run == *run);
    let kept = |payload| facts.kept.contains(payload);
    if !own && !record.payload.as_ref().is_some_and(kept) {
        let what =
            format!("{label} is published, and the store has no attempt of {run} that has sent it");
        facts.add_violation("OutputsAccepted", what);
    }
}

/// Checks that an output of the store that is marked as relayed was published, or its dead letter was.
pub(crate) fn check_relayed(
    facts: &mut Facts,
    view: RunView<'_>,
    output: &OutputId,
    record: &Record,
) {
    let published = view
        .records()
        .any(|sent| sent.record.payload == record.payload);
    if !published {
        let what = format!(
            "output {} of version {} of {} is marked as relayed, and was never published",
            output.index, output.version, output.run
        );
        facts.add_violation("RelayedIsPublished", what);
    }
}

/// Checks that the result of a record is durable when the record leaves its topic.
pub(crate) fn check_durable(facts: &mut Facts, view: RunView<'_>, done: &Published) {
    let Published { label, number, .. } = done;
    let lost = match &done.decoded {
        Decoded::Event(_) => false,
        Decoded::Bytes => {
            let payload = done.record.payload.clone().unwrap_or_default();
            !facts.letters.contains_key(&payload)
        }
        Decoded::Message(message) => match message.metadata.envelope() {
            // The store is the truth.
            Some(_) if view.guarantee() == Guarantee::Stored => false,
            Some(envelope) => {
                let run = facts.run(&envelope.run);
                let ended = run.status.is_some_and(|status| status.is_terminal());
                run.latest <= *number && !ended
            }
            None if facts.watched.contains(&message.entrypoint) => {
                let task = facts.task(&message.uuid);
                task.ended == task.failed && task.latest <= *number
            }
            None => false,
        },
    };
    if lost {
        let what = format!("the record of {label} left its topic, and nothing followed from it");
        facts.add_violation("CommitAfterDurable", what);
    }
}
