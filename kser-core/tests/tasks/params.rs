//! What a task says of params that do not fit it, and of what the step before returned.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::num::NonZeroU8;

use kser_core::{
    Context, Entrypoint, IntoTask, Json, Message, Outcome, Registry, TaskEntry, TaskError,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Serialize, Deserialize)]
struct Order {
    who: String,
    to: Option<Address>,
    #[serde(default)]
    lines: Vec<Line>,
    #[serde(default)]
    speed: Speed,
}

impl Entrypoint for Order {
    const PATH: &'static str = "shop.Order";
}

#[derive(Serialize, Deserialize)]
struct Address {
    street: String,
    code: NonZeroU8,
}

#[derive(Serialize, Deserialize)]
struct Line {
    count: u8,
    price: f32,
}

#[derive(Default, Serialize, Deserialize)]
enum Speed {
    #[default]
    Slow,
    Fast,
}

async fn order(_: Order) {}

fn object(params: &str) -> kser_core::Object {
    serde_json::from_str(params).unwrap()
}

#[test]
fn of_two_equal_names_only_the_last_counts() {
    let params = r#"{"who":null,"who":"zoe","to":{"street":"x","code":0,"code":1},"to":{"street":"y","code":0,"code":2}}"#;
    let order: Order = object(params).parse().unwrap();
    assert_eq!((&*order.who, order.to.unwrap().code.get()), ("zoe", 2));
}

async fn refused(task: &TaskEntry, params: &str) -> TaskError {
    let params = object(params);
    task.run(&Context::for_test(), &params).await.unwrap_err()
}

#[tokio::test]
async fn params_that_do_not_fit_are_named_with_what_is_wrong() {
    let task = order.into_task();
    for (params, expected) in [
        (r#"{}"#, "Missing parameter: who"),
        (
            r#"{"who":"zoe", "who":"x","to":null,"to":{"street":"x","code":"9"}}"#,
            "Invalid parameter: to.code: invalid type: string, expected a nonzero u8",
        ),
        (r#"{"Who": "zoe"}"#, "Missing parameter: who"),
        (
            r#"{"who": null}"#,
            "Invalid parameter: who: invalid type: null, expected a string",
        ),
        (
            r#"{"who": 5}"#,
            "Invalid parameter: who: invalid type: integer, expected a string",
        ),
        (
            r#"{"who": {}}"#,
            "Invalid parameter: who: invalid type: map, expected a string",
        ),
        (
            r#"{"who": ["x"], "to": null}"#,
            "Invalid parameter: who: invalid type: sequence, expected a string",
        ),
        (
            r#"{"who": "zoe", "to": {}}"#,
            "Missing parameter: to.street",
        ),
        (
            r#"{"to": {"street": "x"}, "who": "zoe"}"#,
            "Missing parameter: to.code",
        ),
        (
            r#"{"who": "zoe", "to": {"street": "x", "code": 0}}"#,
            "Invalid parameter: to.code: invalid value: integer, expected a nonzero u8",
        ),
        (
            r#"{"who": "zoe", "to": {"street": "x", "code": 300}}"#,
            "Invalid parameter: to.code: invalid value: integer, expected a nonzero u8",
        ),
        (
            "{\n\t\"who\": \"zo\u{eb}\",\n\t\"lines\": [\n\t\t{\"count\": 1, \"price\": 2.5},\n\t\t{\"count\": 1, \"price\": \"2.5\"}\n\t]\n}",
            "Invalid parameter: lines[1].price: invalid type: string, expected f32",
        ),
        (
            r#"{"who": "zoe", "lines": [{"count": 1}]}"#,
            "Missing parameter: lines[0].price",
        ),
        (
            r#"{"who": "zoe", "lines": [[1, 2.5, 3]]}"#,
            "Invalid parameter: lines[0][2]: trailing characters",
        ),
        (
            r#"{"who": "zoe", "speed": "Warp"}"#,
            "Invalid parameter: speed: unknown variant, expected `Slow` or `Fast`",
        ),
    ] {
        let error = refused(&task, params).await;
        assert_eq!(error.message(), expected, "{params}");
        let facts = (error.code(), error.name(), error.msgid());
        assert_eq!(facts, (400, "ValidationError", "ERR-04413"));
        assert!(!error.is_temporary());
    }
}

/// An error is logged and travels: what a person gave does not belong into it.
#[tokio::test]
async fn an_error_does_not_show_what_was_given() {
    #[derive(Serialize, Deserialize)]
    struct Login {
        pin: u16,
        face: char,
        speed: Speed,
        old: bool,
        weight: u8,
    }
    impl Entrypoint for Login {
        const PATH: &'static str = "hall.Login";
    }
    async fn login(_: Login) {}
    let task = login.into_task();
    for secret in [
        r#"{"pin": "hunter2, expected 4 digits"}"#,
        r#"{"pin": "hunter2 at line 1 column 2"}"#,
        r#"{"pin": "invalid type: string \"hunter2\", expected u16"}"#,
        r#"{"pin": 7777777}"#,
        r#"{"pin": -7777}"#,
        r#"{"pin": 1, "face": "hunter2"}"#,
        r#"{"pin": 1, "speed": "hunter2"}"#,
        r#"{"pin": 1, "speed": "x`, expected `hunter2"}"#,
        r#"{"pin": 1, "old": "hunter2"}"#,
        r#"{"pin": 1, "weight": 7777.5}"#,
    ] {
        let error = refused(&task, secret).await;
        let shown = format!("{} {:?} {}", error.message(), error, error.extra().as_str());
        assert!(
            !shown.contains("hunter2") && !shown.contains("7777"),
            "{shown}"
        );
        assert!(error.message().contains("expected"), "{shown}");
    }
}

fn nested(levels: usize) -> String {
    format!(
        r#"{{"deep":{}{}}}"#,
        "[".repeat(levels - 1),
        "]".repeat(levels - 1)
    )
}

fn message(name: &str, params: &str) -> Message {
    let text = format!(r#"{{"uuid":"1","entrypoint":"{name}","params":{params}}}"#);
    Message::decode(text.as_bytes()).unwrap()
}

/// In a thread of its own, which has the stack that a worker has.
#[test]
fn params_that_are_too_deep_for_a_type_are_its_validation_error() {
    #[derive(Serialize, Deserialize)]
    struct Deep {
        deep: Value,
    }
    impl Entrypoint for Deep {
        const PATH: &'static str = "test.Deep";
    }
    async fn any(_: Deep) {}
    async fn raw(_: Raw) -> &'static str {
        "read"
    }
    #[derive(Serialize, Deserialize)]
    struct Raw {
        deep: kser_core::Raw,
    }
    impl Entrypoint for Raw {
        const PATH: &'static str = "test.Raw";
    }
    let running = async {
        let registry = Registry::new().task(any).task(raw).build().unwrap();
        for levels in [129, 500, 900] {
            let outcome = registry
                .execute(&message("test.Deep", &nested(levels)))
                .await;
            assert_eq!(outcome.code(), 400);
            assert!(
                outcome
                    .error_message()
                    .ends_with("recursion limit exceeded"),
                "{outcome:?}"
            );
            let outcome = registry
                .execute(&message("test.Raw", &nested(levels)))
                .await;
            assert_eq!(outcome.message(), "read");
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let ran = thread.spawn(move || runtime.block_on(running)).unwrap();
    ran.join().unwrap();
}

#[tokio::test]
async fn a_value_with_a_number_that_is_none_is_an_error_that_names_the_field() {
    #[derive(Serialize)]
    struct Weight {
        of: Vec<f64>,
    }
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let weigh = move |_: Order| async move {
            Json(Weight {
                of: vec![1.0, number],
            })
        };
        let error = refused(&weigh.into_task(), r#"{"who": "zoe"}"#).await;
        assert!(error.message().contains("of: [1]"), "{error}");
        assert!(!error.is_temporary());
    }
}

#[tokio::test]
async fn what_the_step_before_returned_is_read_or_the_task_fails_for_good() {
    async fn ship(_: Order, line: Line) -> String {
        format!("{} for {}", line.count, line.price)
    }
    let task = ship.into_task();
    for (retval, expected) in [
        (r#"{"count": 3, "price": 2.5, "more": {}}"#, Ok("3 for 2.5")),
        (
            r#"{}"#,
            Err("the outcome of the step before does not fit: count is missing"),
        ),
        (
            r#"{"count": "x"}"#,
            Err(
                "the outcome of the step before does not fit: count: invalid type: string, expected u8",
            ),
        ),
    ] {
        let given = Outcome::default().with_data(object(retval));
        let ctx = Context::for_test().with_previous(given);
        let got = task.run(&ctx, &object(r#"{"who": "zoe"}"#)).await;
        match (got, expected) {
            (Ok(outcome), Ok(text)) => assert_eq!(outcome.message(), text),
            (Err(error), Err(text)) => {
                assert_eq!((error.message(), error.code()), (text, 422));
                assert!(!error.is_temporary());
            }
            (got, _) => panic!("{got:?}"),
        }
    }
}
