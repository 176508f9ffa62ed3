//! The life of tasks and operations, in one process.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::{Arc, Mutex};

use kser_core::{
    Context, Entrypoint, Json, Message, Object, Operation, OperationExt, Outcome, Plan, Registry,
    Status, StatusChange, Step, Task, TaskError, TaskExt,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Roll {
    sides: u8,
}

impl Entrypoint for Roll {
    const PATH: &'static str = "dice.Roll";
}

#[derive(Clone, Serialize, Deserialize)]
struct Game {
    rolls: usize,
}

impl Entrypoint for Game {
    const PATH: &'static str = "dice.Game";
}

#[derive(Serialize, Deserialize)]
struct Yahtzee {}

impl Entrypoint for Yahtzee {
    const PATH: &'static str = "dice.Yahtzee";
}

/// Notes every hook, and fails or panics in the one that is named.
#[derive(Clone, Default)]
struct Probe {
    seen: Arc<Mutex<Vec<String>>>,
    fails: &'static str,
    panics: &'static str,
}

impl Probe {
    fn hook(&self, name: &str) -> Result<(), TaskError> {
        self.seen.lock().unwrap().push(name.to_owned());
        assert!(self.panics != name, "panic in {name}");
        match self.fails == name {
            true => Err(TaskError::new("Probe", format!("failed in {name}"))),
            false => Ok(()),
        }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Task for Probe {
    type Params = Roll;
    type Output = String;

    async fn run(&self, _: &Context, roll: Roll) -> Result<String, TaskError> {
        self.hook("run")?;
        Ok(format!("You made a {}", roll.sides))
    }

    async fn post_init(&self, _: &Context) -> Result<(), TaskError> {
        self.hook("post_init")
    }

    async fn check_required_params(&self, _: &Context, _: &Roll) -> Result<(), TaskError> {
        self.hook("check_required_params")
    }

    async fn pre_run(&self, _: &Context, _: &Roll) -> Result<(), TaskError> {
        self.hook("pre_run")
    }

    async fn post_run(&self, _: &Context, _: &Outcome) -> Result<(), TaskError> {
        self.hook("post_run")
    }

    async fn on_success(&self, _: &Context, _: &Outcome) -> Result<(), TaskError> {
        self.hook("on_success")
    }

    async fn on_error(&self, _: &Context, error: &TaskError) {
        let _ = self.hook(&format!("on_error: {}", error.message()));
    }
}

const HOOKS: [&str; 6] = [
    "post_init",
    "check_required_params",
    "pre_run",
    "run",
    "post_run",
    "on_success",
];

fn params() -> Object {
    Object::new(&Roll { sides: 6 }).unwrap()
}

#[tokio::test]
async fn the_hooks_come_in_order() {
    let probe = Probe::default();
    let outcome = probe.execute(&Context::for_test(), &params()).await;
    assert_eq!(outcome.message(), "You made a 6");
    assert_eq!(probe.seen(), HOOKS);
}

#[tokio::test]
async fn an_error_in_any_hook_ends_the_task_and_is_told_to_on_error() {
    for (index, fails) in HOOKS.into_iter().enumerate() {
        let probe = Probe {
            fails,
            ..Probe::default()
        };
        let outcome = probe.execute(&Context::for_test(), &params()).await;
        assert_eq!(outcome.error_message(), format!("failed in {fails}"));
        let mut expected: Vec<_> = HOOKS[..=index].iter().map(ToString::to_string).collect();
        expected.push(format!("on_error: failed in {fails}"));
        assert_eq!(probe.seen(), expected);
    }
}

#[tokio::test]
async fn a_panic_in_any_hook_is_an_error() {
    for panics in HOOKS {
        let probe = Probe {
            panics,
            ..Probe::default()
        };
        let error = probe
            .unsafe_execute(&Context::for_test(), &params())
            .await
            .unwrap_err();
        assert_eq!(error.message(), format!("panic: panic in {panics}"));
        assert_eq!((error.code(), error.msgid()), (500, "ERR-29885"));
    }
}

#[tokio::test]
async fn an_outcome_that_is_a_failure_is_told_to_on_error_and_not_to_on_success() {
    struct Returns(Outcome, Arc<Mutex<Vec<String>>>);
    impl Task for Returns {
        type Params = Roll;
        type Output = Outcome;
        async fn run(&self, _: &Context, _: Roll) -> Result<Outcome, TaskError> {
            Ok(self.0.clone())
        }
        async fn on_success(&self, _: &Context, _: &Outcome) -> Result<(), TaskError> {
            self.1.lock().unwrap().push("success".to_owned());
            Ok(())
        }
        async fn on_error(&self, _: &Context, error: &TaskError) {
            let told = format!("{}: {}", error.code(), error.message());
            self.1.lock().unwrap().push(told);
        }
    }
    let bad = Outcome::text("half").with_error_message("bad");
    for (outcome, expected) in [
        (bad.clone().with_code(299), "success"),
        (bad.with_code(300), "300: bad"),
        (
            Outcome::from(&TaskError::new("No", "no").with_code(204)),
            "204: no",
        ),
    ] {
        let told = Arc::default();
        let task = Returns(outcome.clone(), Arc::clone(&told));
        let ctx = Context::for_test();
        let left = task.unsafe_execute(&ctx, &params()).await.unwrap();
        assert_eq!(left, outcome, "it is left as it is");
        assert_eq!(*told.lock().unwrap(), [expected]);
    }
}

#[tokio::test]
async fn missing_params_have_the_code_and_text_of_the_python_library() {
    let probe = Probe::default();
    let outcome = probe
        .execute(&Context::for_test(), &Object::default())
        .await;
    let error = outcome.error().unwrap();
    assert_eq!((error.code(), error.msgid()), (400, "ERR-04413"));
    assert_eq!(error.message(), "Missing parameter: sides");
    assert_eq!(
        probe.seen(),
        ["post_init", "on_error: Missing parameter: sides"]
    );
}

async fn roll(ctx: Context, roll: Roll) -> Json<Roll> {
    let before = ctx.previous_as().unwrap_or(Roll { sides: 0 });
    Json(Roll {
        sides: before.sides + roll.sides,
    })
}

/// Three rolls, one after another.
struct Games {
    told: Arc<Mutex<Vec<String>>>,
}

impl Operation for Games {
    type Params = Game;
    const STATUS_HOOK: bool = true;

    async fn build_tasks(&self, _: &Context, game: Game) -> Result<Vec<Step>, TaskError> {
        Ok(vec![Step::new(Roll { sides: 1 }); game.rolls])
    }

    async fn prebuild(&self, _: &Context, game: &Game) -> Result<(), TaskError> {
        match game.rolls {
            13 => Err(TaskError::validation("unlucky")),
            _ => Ok(()),
        }
    }

    async fn on_status(&self, change: &StatusChange) -> Result<(), TaskError> {
        let text = format!("{} -> {}", change.from, change.to);
        self.told.lock().unwrap().push(text);
        Ok(())
    }
}

/// An operation that is made of three others: nine tasks.
struct Nested;

impl Operation for Nested {
    type Params = Yahtzee;

    async fn build_tasks(&self, ctx: &Context, _: Yahtzee) -> Result<Vec<Step>, TaskError> {
        let games = Games {
            told: Arc::default(),
        };
        let mut steps = Vec::new();
        for _ in 0..3 {
            steps.extend(games.compute_tasks(ctx, Game { rolls: 3 }).await?);
        }
        Ok(steps)
    }

    async fn finalize(&self, _: &Context, mut plan: Plan) -> Result<Plan, TaskError> {
        plan.add_task(Step::new(Roll { sides: 100 }))?;
        Ok(plan)
    }
}

fn message(name: &str, params: &str) -> Message {
    let text = format!(r#"{{"uuid":"run-1","entrypoint":"{name}","params":{params}}}"#);
    Message::decode(text.as_bytes()).unwrap()
}

#[tokio::test]
async fn an_operation_runs_in_one_process() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let games = Games {
        told: Arc::clone(&told),
    };
    let registry = Registry::new().task(roll).operation(games).build().unwrap();
    let outcome = registry
        .execute(&message("dice.Game", r#"{"rolls":3}"#))
        .await;
    assert_eq!(outcome.data_as::<Roll>().unwrap().sides, 3);
    assert_eq!(outcome.uuid().unwrap().as_str(), "run-1");
    assert_eq!(
        *told.lock().unwrap(),
        ["PENDING -> RUNNING", "RUNNING -> SUCCESS"]
    );
    let unlucky = registry
        .unsafe_execute(&message("dice.Game", r#"{"rolls":13}"#))
        .await;
    assert_eq!(unlucky.unwrap_err().message(), "unlucky");
    let empty = registry
        .execute(&message("dice.Game", r#"{"rolls":0}"#))
        .await;
    assert_eq!(empty.error_message(), "Nothing to do, empty operation !");
    assert_eq!(told.lock().unwrap().last().unwrap(), "PENDING -> FAILED");
}

#[tokio::test]
async fn an_operation_may_be_made_of_others() {
    let registry = Registry::new()
        .task(roll)
        .operation(Nested)
        .build()
        .unwrap();
    let outcome = registry.execute(&message("dice.Yahtzee", "{}")).await;
    assert_eq!(outcome.data_as::<Roll>().unwrap().sides, 109);
}

#[tokio::test]
async fn a_failing_step_runs_its_own_on_error_and_ends_the_operation() {
    let probe = Probe {
        fails: "run",
        ..Probe::default()
    };
    let games = Games {
        told: Arc::default(),
    };
    let registry = Registry::new()
        .task(probe.clone())
        .operation(games)
        .build()
        .unwrap();
    let outcome = registry
        .execute(&message("dice.Game", r#"{"rolls":3}"#))
        .await;
    assert_eq!(outcome.error_message(), "failed in run");
    let errors = probe
        .seen()
        .into_iter()
        .filter(|hook| hook.starts_with("on_error"));
    assert_eq!(errors.count(), 1);
}

#[test]
fn next_is_the_step_behind() {
    let steps = vec![Step::new(Roll { sides: 6 }); 3];
    let plan = Plan::of("run".into(), "dice.Game".into(), steps).unwrap();
    let [first, second, last] = plan.steps() else {
        panic!("three steps");
    };
    assert_eq!(plan.next(&first.key.uuid).unwrap(), Some(second));
    assert_eq!(plan.next(&last.key.uuid).unwrap(), None);
    assert!(plan.next(&"nobody".into()).is_err());
    let again = Plan::of(
        "run".into(),
        "dice.Game".into(),
        vec![Step::new(Roll { sides: 6 }); 3],
    );
    assert_eq!(again.unwrap(), plan, "the same run has the same ids");
}

#[test]
fn a_success_is_a_code_below_300_without_an_error() {
    let with_error = |code| Outcome::from(&TaskError::new("No", "no").with_code(code));
    for (outcome, success) in [
        (Outcome::default(), true),
        (Outcome::default().with_code(-15), true),
        (Outcome::default().with_code(299), true),
        (Outcome::default().with_code(300), false),
        (with_error(1), false),
        (with_error(204), false),
        (with_error(500), false),
    ] {
        assert_eq!(outcome.is_success(), success, "{outcome:?}");
        assert_eq!(outcome.error().is_none(), success);
    }
    assert_eq!(Status::Success.to_string(), "SUCCESS");
}

#[test]
fn what_is_forwarded_is_merged_under_its_own_name() {
    let given: Outcome = serde_json::from_str(
        r#"{"uuid":"a","retcode":3,"stdout":"before","stderr":"warned","retval":{"x":1,"y":{"a":1}}}"#,
    )
    .unwrap();
    let left: Outcome =
        serde_json::from_str(r#"{"retcode":1,"stdout":"after","retval":{"y":{"b":2.50}}}"#)
            .unwrap();
    let accepted = left.accepted(&given, &"b".into());
    assert_eq!(accepted.uuid().unwrap().as_str(), "b");
    assert_eq!(
        (
            accepted.code(),
            accepted.message(),
            accepted.error_message()
        ),
        (3, "after", "warned")
    );
    assert_eq!(accepted.data().as_str(), r#"{"x":1,"y":{"b":2.50}}"#);
    let alone = left.clone().replacing().accepted(&given, &"b".into());
    assert_eq!((alone.code(), alone.error_message()), (1, ""));
    let failed = given.with_code(500);
    assert_eq!(
        left.accepted(&failed, &"b".into()).code(),
        1,
        "a failure is not merged"
    );
}
