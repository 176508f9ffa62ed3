use kser_core::{Record, headers};

use crate::sim::{Decoded, Facts, Finished, Guarantee, RecordIdentity};
use crate::violation::Violation;

/// The percentage of copies that any run may publish.
const PERCENT: usize = 1;

/// The copies that one cause may have in a stored run: the next step, an event and the message to the owner of the run.
/// Causes are faults, deliveries that a member has to give up to another, and copies that a client publishes, such as a
/// second report.
const COPIES: usize = 3;

/// Counts a record that is published. A copy that a client publishes is a cause of others, because clients publish until
/// they know that they have succeeded.
pub(crate) fn count_record(facts: &mut Facts, consumer: bool, record: &Record, decoded: &Decoded) {
    let letter = record.topic.as_str().ends_with(".dlt");
    // A delayed record is the next attempt.
    if letter || record.not_before.is_some() {
        return;
    }
    let (needed, run) = match decoded {
        Decoded::Message(message) => {
            let replays = headers::replays(record).unwrap_or_default();
            let task = message.uuid.clone();
            let run = message.metadata.envelope().map(|envelope| &envelope.run);
            (RecordIdentity::Message { task, replays }, run)
        }
        Decoded::Event(event) if event.replay => return,
        Decoded::Event(event) => {
            let run = event.run.clone();
            let (from, to) = (event.from, event.status);
            let needed = RecordIdentity::Event(run, from, to, event.position);
            (needed, Some(&event.run))
        }
        Decoded::Bytes => return,
    };
    // A run that a client repairs publishes its steps again.
    if run.is_some_and(|run| facts.run(run).repaired) {
        return;
    }
    let new = facts.needed.insert(needed);
    facts.made += usize::from(new || consumer);
    facts.copied_by_clients += usize::from(!new && !consumer);
}

/// Checks that the consumers published hardly more records than the run needs.
pub(super) fn judge<S>(finished: &Finished<S>) -> Option<Violation> {
    let faults = finished.fired.len();
    finished.observe(|facts, view| {
        let (made, needed) = (facts.made, facts.needed.len());
        let given_up = view.taken_back();
        let causes = faults + given_up + facts.copied_by_clients;
        let each = match view.guarantee() {
            Guarantee::Stored => COPIES,
            // A second delivery of a carried step runs all later steps again.
            Guarantee::ExactlyOnce | Guarantee::AtLeastOnce => needed,
        };
        let most = needed + needed * PERCENT / 100 + each * causes;
        (made > most).then(|| {
            let what = format!(
                "{made} records were published where {needed} are needed, and {most} are allowed after {faults} faults and \
                 {given_up} deliveries that went to another member"
            );
            Violation::new("RecordsNeeded", what)
        })
    })
}
