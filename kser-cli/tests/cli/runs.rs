use std::time::Duration;

use kser::consumer::RunningConsumer;
use kser::run::Status;
use kser::{Entrypoint, Registry, Step, TaskError};
use kser_cli::Exit;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::world::World;

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("billing.Check")]
pub(crate) struct Check {}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("billing.Charge")]
pub(crate) struct Charge {
    pub(crate) order: u32,
}

async fn check(_: Check) -> String {
    "checked".to_owned()
}

pub(crate) async fn charge(charge: Charge) -> Result<(), TaskError> {
    let order = charge.order;
    match order {
        0 => Ok(()),
        100 => Err(TaskError::new("Unreachable", "the bank does not answer")),
        99 => Err(TaskError::permanent("\u{1b}]0;x\u{7}", "\u{202e}evil\n")),
        _ => {
            Err(TaskError::permanent("Refused", format!("order {order} is refused")).with_code(402))
        }
    }
}

fn steps(order: u32) -> Vec<Step> {
    vec![Step::new(Check {}), Step::new(Charge { order })]
}

pub(crate) fn registry() -> Registry {
    let registry = Registry::new().task(check).task(charge).build();
    registry.expect("a registry")
}

pub(super) fn consumer(world: &World) -> RunningConsumer {
    let consumer = world.client.consumer(registry());
    consumer.with_instance("billing-0").spawn()
}

impl World {
    async fn launch(&self, id: &str, order: u32) {
        let producer = self.client.producer();
        let launch = producer.launch_steps("billing.Invoice", steps(order));
        launch.with_id(id).await.expect("a run");
    }

    /// Launches three runs that fail, of two causes, one that succeeds, one that is cancelled, and one that no consumer runs.
    pub(crate) async fn with_runs(self) -> Self {
        let consumer = consumer(&self);
        for (id, order) in [
            ("7f3c1d2a-0", 17),
            ("7f3c9999-1", 18),
            ("88aa0000-2", 99),
            ("c0ffee00-3", 0),
        ] {
            self.launch(id, order).await;
            self.client.runs().wait(&id.into()).await.expect("an end");
        }
        consumer.stop().await.expect("a stop");
        self.launch("e01b77c9-4", 0).await;
        let by = self.client.runs().by("oncall", "the customer has called");
        by.cancel(&"e01b77c9-4".into()).await.expect("cancelled");
        self.launch("e01b88c9-5", 0).await;
        self
    }

    async fn status(&self, id: &str) -> Status {
        let state = self.client.runs().status(&id.into()).await;
        state.expect("a run").status
    }

    async fn json(&self, line: &str) -> Value {
        let answer = self.kser(&format!("{line} --json")).await;
        serde_json::from_str(&answer.text).expect("one document")
    }
}

#[tokio::test(start_paused = true)]
async fn runs_are_shown_in_narrow_and_wide_terminals() {
    let world = World::still().await.with_runs().await;
    let file = |name: &str, width: u16| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/shown");
        let path = std::path::PathBuf::from(format!("{folder}/{name}.{width}.txt"));
        snapbox::Data::read_from(&path, None).raw()
    };
    for (name, line) in [
        ("runs", "runs ls"),
        ("runs_page", "runs ls -n 2"),
        (
            "runs_failed",
            "runs ls --status failed --op billing.Invoice",
        ),
        ("run_causes", "runs causes"),
        ("run", "runs show 7f3c1"),
        ("run_cancelled", "runs show e01b77"),
        ("run_waits", "runs show e01b88"),
        ("why", "runs why e01b88"),
        ("resume", "runs resume --status failed"),
        ("resume_left", "runs resume 7f3c1 c0ff --dry-run"),
        ("cancel_left", "runs cancel c0ff"),
        ("status_runs", "status"),
    ] {
        for width in [60, 200] {
            let text = world.wide(line, width).await;
            snapbox::assert_data_eq!(text, file(name, width));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_line_of_a_block_is_wider_than_a_terminal_of_40_columns_unless_a_word_is() {
    let world = World::still().await.with_runs().await;
    let world = world.with_letters().await;
    for line in [
        "runs ls",
        "runs causes",
        "runs show 7f3c1",
        "letters ls",
        "letters causes",
        "topics",
        "status",
    ] {
        let text = world.wide(line, 40).await;
        let rows = text.lines().filter(|row| row.starts_with("  "));
        for row in rows.filter(|row| row.chars().count() > 40) {
            // A name is not broken, so that it can be copied.
            let value = row
                .trim_start()
                .split_once("  ")
                .map_or(row, |(_, value)| value);
            assert!(
                !value.trim().contains(' ') || line == "status",
                "{line}: {row:?}"
            );
        }
        for id in ["7f3c1d2a-0", "billing.dlt/0/0"] {
            let shown = world.wide(line, 200).await.contains(id);
            assert_eq!(text.contains(id), shown, "{line}: {id}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn runs_as_json_are_one_document() {
    let world = World::still().await.with_runs().await;
    let page = world.json("runs ls -n 4").await;
    assert_eq!(page["runs"].as_array().map(Vec::len), Some(4));
    assert_eq!(page["runs"][0]["launched"], "2023-11-14T22:13:20.000Z");
    let next = page["next"].as_str().expect("a cursor");
    let rest = world.json(&format!("runs ls -n 4 --after {next}")).await;
    assert_eq!(rest["runs"].as_array().map(Vec::len), Some(2));
    assert_eq!(rest["next"], Value::Null);
    let failed = rest["runs"][1].clone();
    assert_eq!(
        (&failed["id"], &failed["status"]),
        (&"7f3c1d2a-0".into(), &"FAILED".into())
    );
    assert_eq!(failed["failure"]["code"], 402);
    let none = world.json("runs ls --op nothing.Here").await;
    assert_eq!(none["runs"], serde_json::json!([]));

    let causes = world.json("runs causes").await;
    assert_eq!(
        (&causes["runs"], &causes["causes"][0]["runs"]),
        (&3.into(), &2.into())
    );
    let shown = world.json("runs show 7f3c1").await;
    assert_eq!(shown["attempts"][1]["worker"], "billing-0");
    assert!(
        shown["attempts"][0].get("outcome").is_none(),
        "payloads are shown on request"
    );
    let shown = world.json("runs show 7f3c1 --payloads").await;
    assert_eq!(shown["attempts"][0]["outcome"]["stdout"], "checked");
    let outcome = world.json("runs outcome c0ff --step 1").await;
    assert_eq!(outcome["stdout"], "checked");
    let plan = world.json("runs resume --status failed --dry-run").await;
    assert_eq!(
        (&plan["plan"]["taken"], &plan["report"]),
        (&3.into(), &Value::Null)
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_is_named_by_the_beginning_of_its_id() {
    let world = World::new().await.with_runs().await;
    for (id, exit, text) in [
        ("7f3c1", Exit::Done, ""),
        ("7f3c1d2a-0", Exit::Done, ""),
        (
            "7f3c",
            Exit::Usage,
            "several runs begin with it: 7f3c1d2a-0, 7f3c9999-1",
        ),
        ("7f3", Exit::Usage, "too short"),
        ("0000", Exit::NotFound, "no run begins with 0000"),
    ] {
        let answer = world.kser(&format!("runs show {id}")).await;
        assert_eq!(answer.exit, exit, "{id}: {answer:?}");
        assert!(answer.error.unwrap_or_default().contains(text), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn runs_are_repaired_one_by_one() {
    let world = World::new().await.with_runs().await;
    let by = "--actor oncall --reason bank-is-back";
    let resumed = world.kser(&format!("runs resume e01b77 {by}")).await;
    assert_eq!(
        (resumed.exit, resumed.text.as_str()),
        (Exit::Done, "1 resumed\n")
    );
    let shown = world.json("runs show e01b77").await;
    let verb = &shown["attempts"][1]["by"];
    assert_eq!(
        (&verb["actor"], &verb["reason"]),
        (&"oncall".into(), &"bank-is-back".into())
    );

    let refused = world.kser("runs resume e01b77").await;
    assert_eq!(refused.exit, Exit::Refused, "{refused:?}");
    let outcome = "{\"stdout\":\"byhand\"}";
    let skipped = world
        .kser(&format!("runs skip 7f3c1 --step 2 --outcome {outcome}"))
        .await;
    assert_eq!(skipped.exit, Exit::Done, "{skipped:?}");
    assert_eq!(world.status("7f3c1d2a-0").await, Status::Success);
    let wrong = world.kser("runs skip 7f3c9 --step 2 --outcome {").await;
    assert_eq!(wrong.exit, Exit::Usage, "{wrong:?}");
    let other = world.kser("runs retry 7f3c9 --step 1").await;
    assert_eq!(other.exit, Exit::Refused, "{other:?}");
    assert_eq!(world.kser("runs retry 7f3c9").await.exit, Exit::Done);
    assert_eq!(world.status("7f3c9999-1").await, Status::Running);
    assert_eq!(world.kser("runs cancel 7f3c9").await.exit, Exit::Done);
    assert_eq!(world.kser("runs purge 7f3c9").await.exit, Exit::Done);
    assert_eq!(world.kser("runs show 7f3c9").await.exit, Exit::NotFound);
    let forked = world.kser("runs fork c0ff --from 2").await;
    assert_eq!(world.status(forked.text.trim()).await, Status::Running);
    let report = world.kser("runs report e01b77 --step 1 --outcome {}").await;
    assert_eq!(
        report.exit,
        Exit::Refused,
        "it is no external step: {report:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_external_step_is_reported() {
    let world = World::new().await;
    let external = Step::new(Check {}).external(Duration::from_secs(3600));
    let launch = world
        .client
        .producer()
        .launch_steps("billing.Invoice", vec![external]);
    let run = launch.with_id("external-1").await.unwrap();
    let report = "runs report external-1 --step 1 --outcome {\"stdout\":\"yes\"}";
    assert_eq!(
        world.kser(&format!("{report} --dry-run")).await.exit,
        Exit::Done
    );
    assert_eq!(run.status().await.unwrap().status, Status::Running);
    assert_eq!(world.kser(report).await.exit, Exit::Done);
    assert_eq!(run.result().await.unwrap().message(), "yes");
    assert_eq!(world.kser(report).await.exit, Exit::Refused, "it is done");
}

#[tokio::test(start_paused = true)]
async fn a_bulk_act_on_runs_is_a_dry_run_until_the_number_is_typed() {
    let world = World::new().await.with_runs().await;
    let act = "runs resume --status failed --reason bank-is-back";
    let dry = world.kser(act).await;
    assert_eq!(dry.exit, Exit::Refused);
    assert!(
        dry.text.contains("This is a dry run: --yes 3 does it."),
        "{dry:?}"
    );
    assert_eq!(world.typed(act, "2").await.exit, Exit::Refused);
    assert_eq!(
        world.kser(&format!("{act} --yes 4")).await.exit,
        Exit::Refused
    );
    assert_eq!(world.status("7f3c1d2a-0").await, Status::Failed);
    let consumer = consumer(&world);
    let typed = world.typed(act, "3").await;
    assert!(
        typed
            .text
            .contains("3 resumed · 0 succeeded · 3 failed again"),
        "{typed:?}"
    );
    assert_eq!(typed.exit, Exit::Bad);
    // A canary that fails again stops the others.
    let stopped = world.kser(&format!("{act} --yes 3 --canary 1")).await;
    assert_eq!(stopped.exit, Exit::Part, "{stopped:?}");
    assert!(stopped.text.contains("2 were not tried"), "{stopped:?}");
    let cause = world.json("runs causes").await["causes"][0]["cause"].clone();
    let cause = cause.as_str().unwrap();
    let purged = world
        .kser(&format!("runs purge --cause {cause} --yes 2"))
        .await;
    assert_eq!(purged.exit, Exit::Done);
    assert!(purged.text.ends_with("\n2 forgotten\n"), "{purged:?}");
    consumer.stop().await.unwrap();
}

/// A bulk act that is killed has finished the runs that it counted; a second bulk act does the rest.
#[tokio::test(start_paused = true)]
async fn a_bulk_act_on_runs_that_is_killed_is_run_again() {
    let world = World::new().await;
    for number in 0..10 {
        world.launch(&format!("bulk-{number}"), 0).await;
    }
    let line = "runs cancel --op billing.Invoice --status running --yes 10 --rate 1";
    let killed = tokio::time::timeout(Duration::from_millis(4500), world.kser(line)).await;
    assert!(killed.is_err());
    let left = world.json("runs ls --status running").await;
    let left = left["runs"].as_array().unwrap().len();
    assert!((1..10).contains(&left), "{left}");
    let rest = world
        .kser(&format!("runs cancel --status running --yes {left}"))
        .await;
    assert_eq!(rest.exit, Exit::Done, "{rest:?}");
    let cancelled = world.json("runs ls --status cancelled").await;
    assert_eq!(cancelled["runs"].as_array().unwrap().len(), 10);
}

/// The second of two operators learns that the first one was faster, and a plan that is old leaves the run.
#[tokio::test(start_paused = true)]
async fn of_two_operators_on_one_run_one_is_refused() {
    let world = World::new().await.with_runs().await;
    let resume = || world.kser("runs resume e01b77");
    let (one, other) = tokio::join!(resume(), resume());
    let mut exits = [one.exit, other.exit];
    exits.sort_by_key(|exit| exit.code());
    assert_eq!(exits, [Exit::Done, Exit::Refused], "{one:?} {other:?}");
    let rows = world
        .client
        .runs()
        .all_attempts(&"e01b77c9-4".into())
        .await
        .unwrap();
    assert_eq!(rows.len(), 2, "one cancellation, one repair: {rows:?}");
}

#[tokio::test(start_paused = true)]
async fn runs_are_watched_and_waited_for() {
    let world = World::new().await;
    world.launch("good-1", 0).await;
    world.launch("bad-1", 17).await;
    let late = world.kser("runs wait good-1 --for 5s").await;
    assert_eq!(late.exit, Exit::TimedOut, "{late:?}");
    assert_eq!(
        world.kser("runs watch good-1 --for 5s").await.exit,
        Exit::TimedOut
    );
    let (watched, waited) = {
        let consumer = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            consumer(&world)
        };
        let (watched, waited, consumer) = tokio::join!(
            world.kser("runs watch good-1"),
            world.kser("runs wait good-1 bad-1"),
            consumer
        );
        consumer.stop().await.unwrap();
        (watched, waited)
    };
    assert_eq!(watched.exit, Exit::Done, "{watched:?}");
    assert_eq!(
        watched.told.first().map(String::as_str),
        Some("good-1 RUNNING step 1 of 2")
    );
    assert_eq!(
        watched.told.last().map(String::as_str),
        Some("good-1 SUCCESS step 2 of 2")
    );
    assert_eq!(waited.exit, Exit::Bad, "{waited:?}");
    assert!(
        waited.text.contains("bad-1 FAILED step 2 of 2"),
        "{waited:?}"
    );
    assert_eq!(world.kser("runs watch bad-1 --json").await.exit, Exit::Bad);
}

/// A run that is purged while it is looked at is no longer there, which has an exit code of its own.
#[tokio::test(start_paused = true)]
async fn a_run_that_is_purged_meanwhile_is_not_found() {
    let world = World::new().await;
    world.launch("gone-1", 0).await;
    let purge = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (runs, id) = (world.client.runs(), "gone-1".into());
        runs.cancel(&id).await.unwrap();
        assert!(runs.purge(&id).await.unwrap());
    };
    let (watched, waited, ()) = tokio::join!(
        world.kser("runs watch gone-1"),
        world.kser("runs wait gone-1"),
        purge
    );
    for answer in [watched, waited] {
        assert!(
            [Exit::NotFound, Exit::Bad].contains(&answer.exit),
            "{answer:?}"
        );
    }
    let id = "gone-1".into();
    let plan = world
        .ops
        .plan_runs(kser_ops::RunAct::Resume, kser_ops::RunChoice::Ids(vec![id]));
    let plan = plan.await.unwrap();
    assert_eq!(
        (plan.taken, plan.left[0].reason.as_str()),
        (0, "the store has no run gone-1")
    );
}

#[tokio::test(start_paused = true)]
async fn the_events_of_runs_are_shown() {
    let world = World::new().await;
    world.launch("told-1", 0).await;
    world.launch("told-2", 17).await;
    let consumer = consumer(&world);
    world.client.runs().wait(&"told-1".into()).await.unwrap();
    world.client.runs().wait(&"told-2".into()).await.unwrap();
    consumer.stop().await.unwrap();
    let past = "events tail --since 1h --past";
    let all = world.kser(past).await;
    assert_eq!(all.text.lines().count(), 4, "{all:?}");
    let of_run = world.kser(&format!("{past} --run told-2")).await.text;
    assert!(
        of_run.ends_with("FAILED step 2 of 2: Refused (402): order 17 is refused\n"),
        "{of_run}"
    );
    let json = world.json(&format!("{past} --op billing.Invoice")).await;
    assert_eq!(json.as_array().map(Vec::len), Some(4));
    assert_eq!(world.kser("events tail --json").await.exit, Exit::Usage);
    let follow = world.kser("events tail --since 1h");
    let followed = tokio::time::timeout(Duration::from_secs(3), follow).await;
    assert!(followed.is_err(), "it goes on until it is interrupted");
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_launched_and_a_task_sent_by_name() {
    let world = World::new().await;
    let registry = Registry::new().task(check).task(charge).build().unwrap();
    let consumer = world.client.consumer(registry).spawn();
    let sent = world
        .kser("send billing.Charge {\"order\":0} --key customer-7")
        .await;
    assert_eq!(sent.exit, Exit::Done, "{sent:?}");
    let launched = world
        .kser("launch billing.Nothing {} --id n-1 --wait --for 1h")
        .await;
    assert_eq!(
        launched.exit,
        Exit::Bad,
        "there is no such operation: {launched:?}"
    );
    let again = world.kser("launch billing.Nothing {} --id n-1").await;
    assert_eq!((again.exit, again.text.as_str()), (Exit::Done, "n-1\n"));
    let other = world
        .kser("launch billing.Nothing {\"a\":1} --id n-1")
        .await;
    assert_eq!(other.exit, Exit::Refused, "{other:?}");
    let wrong = world.kser("send billing.Charge [1]").await;
    assert_eq!(wrong.exit, Exit::Usage, "{wrong:?}");
    consumer.stop().await.unwrap();
}

/// An outcome as large as a record may be is cut where it is shown, and whole where it is asked for.
#[tokio::test(start_paused = true)]
async fn an_outcome_of_10_mb_is_cut() {
    let world = World::new().await;
    let large = format!("\u{1b}{}", "x".repeat(10_000_000));
    let text = large.clone();
    let print = move |_: Check| std::future::ready(text.clone());
    let registry = Registry::new().task(print).build().unwrap();
    let _consumer = world.client.consumer(registry).spawn();
    let producer = world.client.producer();
    let launch = producer.launch_steps("billing.Print", vec![Step::new(Check {})]);
    let run = launch.with_id("large-1").await.unwrap();
    let ended = run.wait().await.unwrap();
    assert_eq!(ended.status, Status::Success, "{ended}");
    let shown = world.kser("runs show large-1").await.text;
    assert!(
        shown.len() < 10_000 && !shown.contains('\u{1b}'),
        "{} bytes",
        shown.len()
    );
    let whole: Value =
        serde_json::from_str(&world.kser("runs outcome large-1").await.text).unwrap();
    assert_eq!(whole["stdout"].as_str().map(str::len), Some(large.len()));
}

/// The commands that a summary and a reason name are commands of the program.
#[test]
fn commands_that_are_named_can_be_typed() {
    for line in [
        "status",
        "letters renew --topic billing",
        "letters causes billing",
        "groups kser.billing",
        "topics",
        "runs causes",
        "runs outcome order-7",
        "runs resume order-7",
        "runs watch order-7",
        "runs show order-7",
        "runs report order-7 --step 4 --outcome JSON",
        "runs retry order-7 --step 4",
        "consumers show billing-2",
        "consumers ls",
    ] {
        let arguments = ["kser"].into_iter().chain(line.split(' '));
        let read = <kser_cli::args::Cli as clap::Parser>::try_parse_from(arguments);
        assert!(read.is_ok(), "{line}: {read:?}");
    }
}

/// Long work shows how far it is: a run that is watched with the time that it has yet to take, an act, an export, and a count of letters.
#[tokio::test(start_paused = true)]
async fn long_work_shows_its_progress() {
    let world = World::new().await;
    let slow = |_: Check| async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        "checked".to_owned()
    };
    let registry = Registry::new().task(slow).build().unwrap();
    let _consumer = world.client.consumer(registry).spawn();
    let launch = async |id: &str| {
        let steps = vec![Step::new(Check {}), Step::new(Check {})];
        let producer = world.client.producer();
        let launch = producer.launch_steps("billing.Review", steps);
        launch.with_id(id).await.unwrap()
    };
    for number in 0..5 {
        let run = launch(&format!("past-{number}")).await;
        assert_eq!(run.wait().await.unwrap().status, Status::Success);
    }
    let _run = launch("watched-1").await;
    let watched = world.kser("runs watch watched-1").await;
    let first = watched.told.first().map(String::as_str);
    assert_eq!(
        first,
        Some("watched-1 RUNNING step 1 of 2 · about 2 min more")
    );
    let steps: std::collections::BTreeSet<_> = watched.progress.iter().copied().collect();
    assert_eq!(
        steps.into_iter().collect::<Vec<_>>(),
        [(0, Some(2)), (1, Some(2)), (2, Some(2))]
    );
    let world = world.with_letters().await;
    assert_eq!(
        world.kser("letters causes billing").await.progress,
        [(5, None)]
    );
    assert_eq!(
        world.kser("letters export billing").await.progress,
        [(5, None)]
    );
    let act = world.kser("letters discard --topic billing --yes 5").await;
    assert_eq!(act.progress.last(), Some(&(5, Some(5))), "{act:?}");
}
