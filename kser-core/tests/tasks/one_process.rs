//! Operations and registries in one process, without any transport.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kser_core::{
    Context, Entrypoint, Handler, IntoOperation, IntoTask, Json, Message, Object, Operation,
    OperationEntry, OperationExt, Outcome, Plan, Registry, RetryPolicy, Status, StatusChange, Step,
    TaskError,
};
use serde::{Deserialize, Serialize};

macro_rules! entrypoint {
    ($name:ident { $($field:ident : $type:ty),* } = $path:literal) => {
        #[derive(Clone, Default, Serialize, Deserialize)]
        struct $name { $($field: $type),* }
        impl Entrypoint for $name {
            const PATH: &'static str = $path;
        }
    };
}

entrypoint!(Roll { sides: u8 } = "dice.Roll");
entrypoint!(Game { rolls: usize } = "dice.Game");
entrypoint!(Yahtzee {} = "dice.Yahtzee");

type Diary = Arc<Mutex<Vec<String>>>;

/// A task that notes where it is and what it was given.
fn noting(diary: &Diary) -> impl IntoTask<fn(Context, Roll) -> Json<Roll>> + use<> {
    let diary = Arc::clone(diary);
    move |ctx: Context, roll: Roll| {
        let before = ctx.previous_as::<Roll>().map_or(0, |roll| roll.sides);
        let run = ctx.run().unwrap();
        let who = ctx.metadata("who").map_or("nobody", |who| who.as_str());
        let note = format!("{run} {} {} {who}", ctx.step().unwrap(), ctx.uuid());
        diary.lock().unwrap().push(note);
        async move {
            Json(Roll {
                sides: before + roll.sides,
            })
        }
    }
}

struct Launch;

impl Operation for Launch {
    type Params = Game;

    async fn build_tasks(&self, _: &Context, game: Game) -> Result<Vec<Step>, TaskError> {
        Ok(vec![Step::new(Roll { sides: 1 }); game.rolls])
    }
}

/// Three launches of three dice: nine tasks in one operation.
async fn yahtzee(ctx: Context, _: Yahtzee) -> Result<Vec<Step>, TaskError> {
    let mut steps = Vec::new();
    for _ in 0..3 {
        steps.extend(Launch.compute_tasks(&ctx, Game { rolls: 3 }).await?);
    }
    Ok(steps)
}

fn message(name: &str, params: &str) -> Message {
    let text = format!(
        r#"{{"uuid":"run-1","entrypoint":"{name}","params":{params},"metadata":{{"who":"zoe"}}}}"#
    );
    Message::decode(text.as_bytes()).unwrap()
}

#[tokio::test]
async fn three_launches_of_three_dice_are_nine_steps_of_one_run() {
    let diary = Diary::default();
    let registry = Registry::new().task(noting(&diary));
    let registry = registry.operation(yahtzee).build().unwrap();
    let outcome = registry.execute(&message("dice.Yahtzee", "{}")).await;
    assert_eq!(outcome.data_as::<Roll>().unwrap().sides, 9);
    let run = kser_core::RunId::from("run-1");
    let expected = (1..=9).map(|step| format!("run-1 {step} {} \"zoe\"", run.step(step)));
    assert_eq!(*diary.lock().unwrap(), expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn a_build_knows_its_run_and_may_run_twice_with_the_same_plan() {
    let seen = Arc::new(Mutex::new(None));
    let build = {
        let seen = Arc::clone(&seen);
        move |ctx: Context, game: Game| {
            *seen.lock().unwrap() = ctx.step();
            async move { Ok::<_, TaskError>(vec![Step::new(Roll { sides: 1 }); game.rolls]) }
        }
    };
    let registry = Registry::new().operation(build).build().unwrap();
    let launch = message("dice.Game", r#"{"rolls":3}"#);
    registry.execute(&launch).await;
    assert_eq!(*seen.lock().unwrap(), Some(0));
    let Some(Handler::Operation(entry)) = registry.get(&"dice.Game".into()) else {
        panic!("it is registered");
    };
    let ctx = Context::new(&launch);
    let first = entry.build(&ctx, &launch).await.unwrap();
    let second = entry.build(&ctx, &launch).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(first.steps().len(), 3);
}

#[tokio::test]
async fn finalize_must_return_the_plan_of_this_run() {
    struct Confused;
    impl Operation for Confused {
        type Params = Game;
        async fn build_tasks(&self, _: &Context, _: Game) -> Result<Vec<Step>, TaskError> {
            Ok(Vec::new())
        }
        async fn finalize(&self, _: &Context, plan: Plan) -> Result<Plan, TaskError> {
            let steps = vec![Step::new(Roll { sides: 1 })];
            Ok(Plan::of("another".into(), plan.name().clone(), steps)?)
        }
    }
    let entry = OperationEntry::new(Confused);
    let launch = message("dice.Game", r#"{"rolls":3}"#);
    let error = entry
        .build(&Context::new(&launch), &launch)
        .await
        .unwrap_err();
    assert!(error.message().contains("another"), "{error}");
    assert!(!error.is_temporary());
}

#[tokio::test]
async fn a_plan_that_cannot_run_fails_at_once() {
    async fn twins(_: Game) -> Result<Vec<Step>, TaskError> {
        Ok(vec![Step::new(Roll { sides: 1 }).with_id("twin"); 2])
    }
    async fn nowhere(_: Game) -> Result<Vec<Step>, TaskError> {
        Ok(vec![Step::new(Roll { sides: 1 }).with_topic("no topic!")])
    }
    async fn elsewhere(_: Game) -> Result<Vec<Step>, TaskError> {
        let hour = Duration::from_secs(3600);
        Ok(vec![Step::new(Roll { sides: 1 }).external(hour)])
    }
    let diary = Diary::default();
    for (entry, why) in [
        (twins.into_operation(), "another step has its uuid"),
        (nowhere.into_operation(), "cannot be a topic name"),
        (
            elsewhere.into_operation(),
            "step 1 is an external step, which cannot run in this process",
        ),
    ] {
        let registry = Registry::new().task(noting(&diary));
        let registry = registry.operation(entry).build().unwrap();
        let launch = message("dice.Game", r#"{"rolls":3}"#);
        let error = registry.unsafe_execute(&launch).await.unwrap_err();
        assert!(error.message().contains(why), "{error}");
        assert!(!error.is_temporary(), "{error}");
    }
    assert!(diary.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_step_that_nobody_knows_ends_the_operation_with_the_text_of_the_python_library() {
    let registry = Registry::new().operation(Launch).build().unwrap();
    let outcome = registry
        .execute(&message("dice.Game", r#"{"rolls":3}"#))
        .await;
    assert_eq!(
        outcome.error_message(),
        "Entrypoint 'dice.Roll' not registred"
    );
    assert_eq!(outcome.code(), 400);
    assert_eq!(outcome.uuid().unwrap().as_str(), "run-1");
}

#[tokio::test]
async fn an_outcome_that_is_a_failure_ends_the_operation_and_is_not_merged() {
    let calls = Diary::default();
    let second_fails = {
        let calls = Arc::clone(&calls);
        move |ctx: Context, _: Roll| {
            calls.lock().unwrap().push(ctx.uuid().to_string());
            let step = ctx.step();
            async move {
                match step {
                    Some(2) => Outcome::text("half")
                        .with_error_message("bad")
                        .with_code(300),
                    _ => Outcome::text("fine").with_code(299),
                }
            }
        }
    };
    let registry = Registry::new()
        .task(second_fails)
        .operation(Launch)
        .build()
        .unwrap();
    let outcome = registry
        .execute(&message("dice.Game", r#"{"rolls":3}"#))
        .await;
    assert_eq!(
        (outcome.code(), outcome.message(), outcome.error_message()),
        (300, "half", "bad")
    );
    assert_eq!(calls.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn unsafe_execute_returns_the_error_itself() {
    let doomed = |_: Roll| async { Err::<(), _>(TaskError::permanent("Doomed", "no")) };
    let registry = Registry::new()
        .task(doomed)
        .operation(Launch)
        .build()
        .unwrap();
    for (name, params) in [
        ("dice.Roll", r#"{"sides":6}"#),
        ("dice.Game", r#"{"rolls":1}"#),
    ] {
        let error = registry
            .unsafe_execute(&message(name, params))
            .await
            .unwrap_err();
        assert_eq!((error.name(), error.code()), ("Doomed", 500));
        assert!(
            !error.is_temporary(),
            "what the error said of itself is kept"
        );
    }
    let no_params = registry
        .unsafe_execute(&message("dice.Game", "{}"))
        .await
        .unwrap_err();
    assert_eq!(no_params.message(), "Missing parameter: rolls");
}

#[tokio::test]
async fn a_lone_task_is_laid_over_what_was_forwarded_unless_that_failed() {
    let diary = Diary::default();
    let registry = Registry::new()
        .task(|_: Roll| async { "mine" })
        .build()
        .unwrap();
    for (forwarded, retval) in [
        (r#"{"uuid":"0","retcode":0,"retval":{"x":1}}"#, r#"{"x":1}"#),
        (r#"{"uuid":"0","retcode":404,"retval":{"x":1}}"#, "{}"),
    ] {
        let text = format!(
            r#"{{"uuid":"1","entrypoint":"dice.Roll","params":{{"sides":6}},"result":{forwarded}}}"#
        );
        let outcome = registry
            .execute(&Message::decode(text.as_bytes()).unwrap())
            .await;
        assert_eq!(
            (outcome.message(), outcome.data().as_str()),
            ("mine", retval)
        );
        assert_eq!((outcome.code(), outcome.uuid().unwrap().as_str()), (0, "1"));
    }
    assert!(diary.lock().unwrap().is_empty());
}

struct Told(Diary);

impl Operation for Told {
    type Params = Game;
    const STATUS_HOOK: bool = true;

    async fn build_tasks(&self, _: &Context, game: Game) -> Result<Vec<Step>, TaskError> {
        Ok(vec![Step::new(Roll { sides: 1 }); game.rolls])
    }

    async fn on_status(&self, change: &StatusChange) -> Result<(), TaskError> {
        // It travels as params of a message.
        let sent = Object::new(change)?;
        let change: StatusChange = sent.parse()?;
        let outcome = change.outcome.map(|outcome| outcome.shown().to_owned());
        let (from, to) = (change.from, change.to);
        let note = format!("{} {} {from} {to} {outcome:?}", change.run, change.name);
        self.0.lock().unwrap().push(note);
        Err(TaskError::internal("nobody home"))
    }
}

#[tokio::test]
async fn the_owner_is_told_and_cannot_stop_the_run() {
    let diary = Diary::default();
    let registry = Registry::new().task(|_: Roll| async { "rolled" });
    let registry = registry
        .operation(Told(Arc::clone(&diary)))
        .build()
        .unwrap();
    let outcome = registry
        .execute(&message("dice.Game", r#"{"rolls":2}"#))
        .await;
    assert_eq!(outcome.message(), "rolled");
    assert_eq!(
        *diary.lock().unwrap(),
        [
            "run-1 dice.Game PENDING RUNNING None",
            r#"run-1 dice.Game RUNNING SUCCESS Some("rolled")"#,
        ]
    );
}

#[test]
fn options_of_tasks_and_builds_can_be_chained() {
    let (retry, limit) = (RetryPolicy::never(), Duration::from_secs(5));
    let task = (|_: Roll| async {})
        .with_retry(retry.clone())
        .with_time_limit(limit);
    assert_eq!((task.retry().attempts(), task.time_limit()), (1, limit));
    let build = Launch.with_build_retry(retry).with_build_limit(limit);
    assert_eq!((build.retry().attempts(), build.time_limit()), (1, limit));
    let task = (|_: Roll| async {}).into_task();
    assert_eq!(
        (task.retry().attempts(), task.time_limit()),
        (3, Duration::from_secs(3600))
    );
}

#[tokio::test]
async fn running_here_is_a_future_that_can_be_spawned() {
    let registry = Arc::new(
        Registry::new()
            .task(|_: Roll| async { "x" })
            .build()
            .unwrap(),
    );
    let launch = message("dice.Roll", r#"{"sides":6}"#);
    let running = tokio::spawn(async move { registry.execute(&launch).await });
    assert_eq!(running.await.unwrap().message(), "x");
    assert_eq!(Status::Success.as_str(), "SUCCESS");
}
