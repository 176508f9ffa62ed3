use kser::message::Topic;
use kser::presence::Presence;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);

/// A run that waits for step 4.
fn facts() -> RunFacts {
    let mut facts = RunFacts::new("order-7".into(), NOW, Status::Running);
    facts.position = 4;
    "billing.Charge".clone_into(&mut facts.entrypoint);
    "billing".clone_into(&mut facts.topic);
    "kser.billing".clone_into(&mut facts.group);
    facts.check_at = Some(NOW + Duration::from_secs(42));
    facts
}

fn presence(name: &str) -> Presence {
    let mut presence = Presence::new(format!("kser.billing/{name}"));
    presence.instance = Some(name.into());
    presence.groups = vec!["kser.billing".to_owned()];
    presence.topics = vec![Topic::new("billing").unwrap()];
    presence.entrypoints = vec!["billing.Charge".into()];
    presence.places = 2;
    presence.version = Some("1.4.1".to_owned());
    presence.now = NOW;
    presence
}

fn consumer(name: &str, change: impl FnOnce(&mut Presence)) -> AnnouncedConsumer {
    let mut presence = presence(name);
    change(&mut presence);
    AnnouncedConsumer::new(presence, Duration::from_secs(2))
}

fn task(run: &str, ago: u64) -> RunningTask {
    let since = Timestamp::from_millis(NOW.as_millis() - ago * 1000);
    let mut task = RunningTask::new("billing.Charge".into(), "uuid".into(), since);
    task.run = Some(run.into());
    task.step = Some(4);
    task
}

/// Checks the text and the command of a reason.
fn check(change: impl FnOnce(&mut RunFacts), text: &str, command: &str) -> Reason {
    let mut facts = facts();
    change(&mut facts);
    let diagnosis = facts.diagnose();
    assert_eq!(
        (diagnosis.text.as_str(), diagnosis.command.as_str()),
        (text, command)
    );
    let json = serde_json::to_value(&diagnosis).unwrap();
    assert!(json["reason"].is_string(), "{json}");
    diagnosis.reason
}

fn leased(seconds: i64) -> Option<(String, Timestamp)> {
    let until = NOW.as_millis().saturating_add_signed(seconds * 1000);
    Some(("billing-2".to_owned(), Timestamp::from_millis(until)))
}

#[test]
fn an_end_is_named() {
    let succeeded = |facts: &mut RunFacts| facts.status = Status::Success;
    check(
        succeeded,
        "the run has succeeded",
        "kser runs outcome order-7",
    );
    let failed = |facts: &mut RunFacts| {
        facts.status = Status::Failed;
        facts.attempts = 3;
        facts.error = Some("ERR-29885 connection refused".to_owned());
    };
    check(
        failed,
        "step 4 (billing.Charge) failed after 3 attempts: ERR-29885 connection refused",
        "kser runs resume order-7",
    );
    let refused = |facts: &mut RunFacts| facts.status = Status::Failed;
    check(
        refused,
        "step 4 (billing.Charge) failed",
        "kser runs resume order-7",
    );
    let cancelled = |facts: &mut RunFacts| facts.status = Status::Cancelled;
    check(
        cancelled,
        "the run was cancelled before step 4 (billing.Charge)",
        "kser runs resume order-7",
    );
    let cancelling = |facts: &mut RunFacts| {
        facts.status = Status::Cancelled;
        facts.lease = leased(20);
    };
    check(
        cancelling,
        "the run was cancelled, and the attempt at step 4 (billing.Charge) on billing-2 has not ended",
        "kser runs watch order-7",
    );
}

#[test]
fn a_step_that_has_begun_names_its_consumer() {
    let runs = |facts: &mut RunFacts| {
        facts.lease = leased(20);
        let running = |presence: &mut Presence| {
            let mut ours = task("order-7", 1078);
            ours.progress = Some(kser::Context::for_test()).and_then(|ctx| {
                ctx.progress(37, 100, "pages");
                ctx.latest_progress()
            });
            presence.running = vec![task("order-1", 5000), ours];
        };
        facts.consumers = Some(vec![
            consumer("billing-1", |_| {}),
            consumer("billing-2", running),
        ]);
    };
    check(
        runs,
        "step 4 (billing.Charge) runs on billing-2 for 18 min (37 of 100 pages)",
        "kser runs watch order-7",
    );
    let without_presence = |facts: &mut RunFacts| facts.lease = leased(20);
    check(
        without_presence,
        "step 4 (billing.Charge) runs on billing-2",
        "kser runs watch order-7",
    );
    let silent = |facts: &mut RunFacts| {
        facts.lease = leased(20);
        let silent = AnnouncedConsumer::new(presence("billing-2"), Duration::from_secs(40));
        facts.consumers = Some(vec![silent]);
    };
    check(
        silent,
        "step 4 (billing.Charge) began on billing-2, which has been silent for 40 s; its lease ends in 20 s",
        "kser consumers show billing-2",
    );
    let unknown = |facts: &mut RunFacts| {
        facts.lease = leased(20);
        facts.consumers = Some(vec![consumer("billing-1", |_| {})]);
    };
    check(
        unknown,
        "step 4 (billing.Charge) began on billing-2, which does not announce itself; its lease ends in 20 s",
        "kser consumers ls",
    );
    let over = |facts: &mut RunFacts| facts.lease = leased(-15);
    check(
        over,
        "step 4 (billing.Charge) began on billing-2, whose lease ended 15 s ago; another consumer of kser.billing takes it over",
        "kser runs watch order-7",
    );
}

#[test]
fn an_external_step_names_its_limit() {
    let external = |seconds| {
        move |facts: &mut RunFacts| {
            facts.is_external = true;
            facts.lease = leased(seconds);
        }
    };
    let command = "kser runs report order-7 --step 4 --outcome JSON";
    let text =
        "step 4 (billing.Charge) waits for a report from outside, for at most 1 h 40 min more";
    check(external(6000), text, command);
    let text = "step 4 (billing.Charge) waits for a report from outside, which is 15 s late; a consumer of kser.billing ends it";
    check(external(-15), text, command);
}

#[test]
fn a_step_that_waits_for_a_time_names_it() {
    let back_off = |facts: &mut RunFacts| {
        facts.not_before = Some(NOW + Duration::from_secs(31));
        facts.attempts = 1;
        facts.error = Some("ERR-29885\u{1b}[2J".to_owned());
    };
    check(
        back_off,
        "step 4 (billing.Charge) is tried again in 31 s after 1 attempt: ERR-29885\\u{1b}[2J",
        "kser runs retry order-7 --step 4",
    );
    let delayed = |facts: &mut RunFacts| {
        facts.position = 0;
        facts.not_before = Some(NOW + Duration::from_secs(31));
    };
    check(
        delayed,
        "the build of billing.Charge begins in 31 s",
        "kser runs show order-7",
    );
}

fn with(consumers: Vec<AnnouncedConsumer>) -> impl FnOnce(&mut RunFacts) {
    |facts| facts.consumers = Some(consumers)
}

#[test]
fn a_step_without_a_consumer_says_so() {
    let missing = |facts: &mut RunFacts| facts.queue = Some(Queue::Missing);
    check(
        missing,
        "step 4 (billing.Charge) waits: topic billing does not exist",
        "kser topics",
    );
    let other = consumer("mail-0", |presence| {
        presence.topics = vec![Topic::new("mail").unwrap()]
    });
    check(
        with(vec![other]),
        "step 4 (billing.Charge) waits: no consumer of kser.billing receives from billing",
        "kser consumers ls",
    );
    let silent = |name, age| AnnouncedConsumer::new(presence(name), Duration::from_secs(age));
    check(
        with(vec![silent("a", 400), silent("b", 30)]),
        "step 4 (billing.Charge) waits: 2 consumers of kser.billing are silent, the last for 30 s",
        "kser consumers ls",
    );
    let old = |name| {
        consumer(name, |presence| {
            presence.entrypoints = vec!["billing.Refund".into()]
        })
    };
    check(
        with(vec![old("billing-0"), old("billing-1")]),
        "step 4 (billing.Charge) waits: none of 2 consumers of kser.billing (version 1.4.1) has registered billing.Charge",
        "kser consumers ls",
    );
}

#[test]
fn consumers_that_take_nothing_say_why() {
    let state = |name, state| consumer(name, move |presence| presence.state = state);
    let stopping = || state("billing-0", PresentState::Stopping);
    check(
        with(vec![stopping(), stopping()]),
        "step 4 (billing.Charge) waits: 2 consumers of kser.billing stop",
        "kser consumers ls",
    );
    check(
        with(vec![stopping(), state("billing-1", PresentState::Paused)]),
        "step 4 (billing.Charge) waits: 1 consumer of kser.billing is paused, such as billing-1",
        "kser consumers show billing-1",
    );
    let absent = consumer("billing-0", |presence| {
        let reason = "the brokers name no coordinator".to_owned();
        presence
            .not_in_group
            .insert("kser.billing".to_owned(), reason);
    });
    check(
        with(vec![absent]),
        "step 4 (billing.Charge) waits: billing-0 is not in kser.billing: the brokers name no coordinator",
        "kser consumers show billing-0",
    );
    let held = consumer("billing-0", |presence| {
        let text = r#"[{"topic":"billing","partition":3,"reason":"offset 81220 is not done"}]"#;
        presence.held_partitions = serde_json::from_str(text).unwrap();
    });
    check(
        with(vec![held]),
        "step 4 (billing.Charge) waits: billing-0 holds partition billing/3: offset 81220 is not done",
        "kser consumers show billing-0",
    );
    let full = |name| {
        consumer(name, |presence| {
            presence.running = vec![task("order-1", 300), task("order-2", 5)]
        })
    };
    check(
        with(vec![full("billing-0"), full("billing-1")]),
        "step 4 (billing.Charge) waits: all 4 places of kser.billing are taken, one for 5 min 2 s",
        "kser consumers ls",
    );
}

#[test]
fn a_message_in_its_topic_is_told_from_a_lost_one() {
    let queue = |records| {
        move |facts: &mut RunFacts| {
            facts.queue = Some(Queue::Unsettled(records));
            // One consumer is free.
            facts.consumers = Some(vec![consumer("billing-0", |_| {})]);
        }
    };
    check(
        queue(1903),
        "step 4 (billing.Charge) waits among 1903 records of billing that are not settled",
        "kser groups kser.billing",
    );
    check(
        queue(0),
        "the message of step 4 (billing.Charge) is not in billing; a sweep publishes it again in 42 s",
        "kser runs retry order-7 --step 4",
    );
    let moves = |facts: &mut RunFacts| {
        queue(0)(facts);
        facts.updated = Timestamp::from_millis(NOW.as_millis() - 1_000);
    };
    check(
        moves,
        "the message of step 4 (billing.Charge) is on its way to billing",
        "kser runs watch order-7",
    );
    check(
        |_| {},
        "step 4 (billing.Charge) waits for a consumer of kser.billing; neither Kafka nor consumers can be asked",
        "kser runs show order-7",
    );
}

/// A consumer that is alive, has the entrypoint and a free place hides the state of the others.
#[test]
fn one_able_consumer_is_enough() {
    let facts = |others: Vec<AnnouncedConsumer>| {
        let mut facts = facts();
        let mut all = others;
        all.push(consumer("able", |_| {}));
        facts.consumers = Some(all);
        facts.queue = Some(Queue::Unsettled(1));
        facts.diagnose().reason
    };
    let paused = consumer("a", |presence| presence.state = PresentState::Paused);
    let old = consumer("b", |presence| presence.entrypoints.clear());
    let silent = AnnouncedConsumer::new(presence("c"), Duration::from_secs(400));
    assert_eq!(
        facts(vec![paused, old, silent]),
        Reason::Queued { records: 1 }
    );
}

/// An id or a name cannot begin another command in the shell of an operator.
#[test]
fn a_hostile_id_is_quoted() {
    let mut hostile = facts();
    hostile.run = "a'; rm -rf /\u{1b}".into();
    hostile.status = Status::Failed;
    assert_eq!(
        hostile.diagnose().command,
        "kser runs resume 'a'\\''; rm -rf /\\u{1b}'"
    );
}
