//! The steps that ride along in a message: what is written is read again, one step a hop.

use std::time::Duration;

use kser_core::sequencing::{Plan, PlannedStep, SentStep, carried};
use kser_core::{Error, Message, Outcome, Raw, RunId, Step};
use proptest::prelude::*;

const RUN: &str = "run";

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{1,12}",
        "\\PC{1,8}",
        Just("a\"b\\c\n\u{1f}\u{1F3B2}".to_owned()),
    ]
}

/// Steps with everything that can be said of one, said or not.
fn step() -> impl Strategy<Value = Step> {
    let params = prop_oneof![
        Just("{}".to_owned()),
        Just(r#"{"n":2.50,"big":123456789012345678901234567890}"#.to_owned()),
        Just(r#"{ "list" : [1, {"deep": "]},{"}] , "\u0061": "\ud800" }"#.to_owned()),
        text().prop_map(|text| serde_json::json!({ text.clone(): text }).to_string()),
    ];
    let external = prop::option::of((
        0_u64..1 << 45,
        prop_oneof![1_u32..4, any::<u32>().prop_map(|n| n.max(1))],
    ));
    let topic = prop::option::of("[a-z][a-z._-]{0,20}");
    let said = (
        prop::option::of(text()),
        topic,
        prop::option::of(text()),
        external,
    );
    (text(), params, said).prop_map(|(entrypoint, params, (uuid, topic, key, external))| {
        let params = Raw::from_slice(params.as_bytes()).unwrap();
        let mut step = Step::named(entrypoint, &params);
        if let Some(uuid) = uuid {
            step = step.with_id(uuid);
        }
        if let Some(topic) = topic {
            step = step.with_topic(topic);
        }
        if let Some(key) = key {
            step = step.with_key(key);
        }
        if let Some((limit, attempts)) = external {
            step = step
                .external(Duration::from_millis(limit))
                .with_attempts(attempts);
        }
        step
    })
}

fn planned(steps: Vec<Step>) -> Option<Vec<PlannedStep>> {
    let plan = Plan::of(RUN.into(), "test.Run".into(), steps);
    plan.map(Plan::into_steps).ok()
}

/// All the steps, as hop after hop reads them.
fn hops(plan: &Raw, first: u32) -> Result<Vec<PlannedStep>, Error> {
    let (mut steps, mut rest) = (Vec::new(), Some(plan.clone()));
    while let Some(plan) = rest {
        let position = first + u32::try_from(steps.len()).unwrap();
        let step;
        (step, rest) = carried::split(&plan, &RUN.into(), position)?;
        steps.push(step);
    }
    Ok(steps)
}

proptest! {
    #[test]
    fn what_rides_along_is_what_was_planned(
        steps in prop::collection::vec(step(), 1..8),
        done in any::<prop::sample::Index>(),
    ) {
        // Two steps of one uuid make no plan.
        let Some(steps) = planned(steps) else { return Ok(()) };
        let done = done.index(steps.len());
        let text = carried::encode(&RUN.into(), &steps[done..]);
        // It is JSON for everyone.
        Raw::from_slice(text.as_str().as_bytes()).unwrap();
        let first = u32::try_from(done).unwrap() + 1;
        prop_assert_eq!(hops(&text, first).unwrap(), &steps[done..]);
    }

    /// A hop copies what it does not need: what is behind the first step comes out byte for byte.
    #[test]
    fn the_rest_is_kept_as_it_came(steps in prop::collection::vec(step(), 2..6)) {
        let Some(steps) = planned(steps) else { return Ok(()) };
        let run = RunId::from(RUN);
        let (_, rest) = carried::split(&carried::encode(&run, &steps), &run, 1).unwrap();
        let again = carried::encode(&run, &steps[1..]);
        let rest = rest.unwrap();
        prop_assert_eq!(rest.as_str(), again.as_str());
    }

    /// An external step comes back with its report as it was sent.
    #[test]
    fn what_was_sent_comes_back(step in step(), text in text(), retcode in any::<i64>()) {
        let Some(steps) = planned(vec![step]) else { return Ok(()) };
        let given = Outcome::text(&text).with_code(retcode).with_uuid("before".into());
        let launch = serde_json::json!({
            "uuid": "u", "entrypoint": "e", "metadata": {"tenant": text, "kser": "mine"},
        });
        let metadata = Message::decode(launch.to_string().as_bytes()).unwrap().metadata;
        let sent = SentStep { step: steps[0].clone(), given, metadata };
        let raw = sent.encode(&RUN.into());
        Raw::from_slice(raw.as_str().as_bytes()).unwrap();
        prop_assert_eq!(SentStep::decode(&raw, &RUN.into(), 1).unwrap(), sent);
    }

    #[test]
    fn no_text_makes_a_hop_panic(plan in "\\[[ \\[\\]{}\":,a-z0-9\\\\-]{0,60}\\]", position in any::<u32>()) {
        if let Ok(plan) = Raw::from_slice(plan.as_bytes()) {
            let _ = carried::split(&plan, &RUN.into(), position);
            let _ = SentStep::decode(&plan, &RUN.into(), position);
        }
    }
}

/// White space, and what a later version adds, do no harm.
#[test]
fn a_plan_by_someone_else_is_read() {
    let text =
        r#" [ {"entrypoint" : "a.B", "later": [1, "]"] } , {"entrypoint":"a.C","uuid":"c"} ] "#;
    let steps = hops(&Raw::from_slice(text.as_bytes()).unwrap(), 2).unwrap();
    let names: Vec<_> = steps
        .iter()
        .map(|step| step.key.entrypoint.as_str())
        .collect();
    assert_eq!(names, ["a.B", "a.C"]);
    assert_eq!(steps[0].key.uuid, RunId::from(RUN).step(2));
    assert_eq!(
        (steps[1].key.position, steps[1].key.uuid.as_str()),
        (3, "c")
    );
}

#[test]
fn a_plan_that_is_none_says_which_step_and_why() {
    let cases = [
        ("[]", "expected a value"),
        ("{}", "expected '['"),
        ("[5]", "expected '{'"),
        (r#"[{"params":{}}]"#, "no entrypoint"),
        (r#"[{"entrypoint":5}]"#, "entrypoint: not a valid string"),
        (
            r#"[{"entrypoint":"a","params":[]}]"#,
            "params: not a valid mapping",
        ),
        (r#"[{"entrypoint":"a","topic":"no topic"}]"#, "topic"),
        (
            r#"[{"entrypoint":"a","uuid":"\ud800"}]"#,
            "uuid: half a surrogate",
        ),
        (
            r#"[{"entrypoint":"a","limit_ms":-1}]"#,
            "limit_ms: not a whole number",
        ),
        (
            r#"[{"entrypoint":"a","limit_ms":1.5}]"#,
            "limit_ms: not a whole number",
        ),
        (
            r#"[{"entrypoint":"a","limit_ms":1,"attempts":4294967296}]"#,
            "attempts: not a whole",
        ),
    ];
    for (text, why) in cases {
        let plan = Raw::from_slice(text.as_bytes()).unwrap();
        let error = carried::split(&plan, &RUN.into(), 7).unwrap_err();
        let told = error.to_string();
        assert!(told.contains('7') && told.contains(why), "{text}: {told}");
    }
}

/// The design counts on about 100 bytes a step; what can be derived costs nothing.
#[test]
fn a_step_to_come_costs_what_it_says_and_little_more() {
    let size = |step: Step| {
        let steps = planned(vec![step; 256]).unwrap();
        carried::encode(&RUN.into(), &steps).as_str().len() / 256
    };
    let dice = Step::named("dice.DiceRoll", &serde_json::json!({"sides": 6}));
    let bare = size(Step::named("dice.DiceRoll", &()));
    let usual = size(dice.clone());
    let full = size(
        dice.with_topic("dice")
            .with_key("table 1")
            .external(Duration::from_secs(60)),
    );
    println!("bytes a step to come: {bare} bare, {usual} usual, {full} with all that can be said");
    assert!(
        bare <= 32 && usual <= 56 && full <= 110,
        "{bare} {usual} {full}"
    );
}

/// Longer than milliseconds can tell is as long as they can tell.
#[test]
fn a_limit_without_end_is_read_again() {
    let step = Step::named("a.B", &()).external(Duration::MAX);
    let text = carried::encode(&RUN.into(), &planned(vec![step]).unwrap());
    let read = &hops(&text, 1).unwrap()[0];
    assert_eq!(
        read.external.unwrap().limit,
        Duration::from_millis(u64::MAX)
    );
}
