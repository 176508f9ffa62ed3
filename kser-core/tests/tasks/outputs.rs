//! What a handler is told, and what it sends.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::BTreeMap;

use kser_core::{
    Context, Entrypoint, Error, IntoTask, Message, Object, Outcome, Raw, RunId, TaskError, TaskId,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Note {
    text: String,
}

impl Entrypoint for Note {
    const PATH: &'static str = "test.Note";
}

fn note(text: &str) -> Note {
    Note {
        text: text.to_owned(),
    }
}

fn message() -> Message {
    let text = br#"{"uuid":"872c","entrypoint":"test.Note","params":{"text":"x"},
        "metadata":{"who":"zoe","n":2.50,"tracing":{"traceparent":"00-a-b-01"},
        "kser":{"v":1,"run":"5e1f","name":"test.Game","step":2,"of":3,"mode":"stored","version":4}}}"#;
    Message::decode(text).unwrap()
}

#[test]
fn outputs_have_ids_by_their_place_and_the_metadata_of_the_user() {
    let ctx = Context::new(&message());
    assert_eq!(ctx.send(note("a")).unwrap(), TaskId::from("872c").output(0));
    let second = ctx
        .clone()
        .send_to("mail", Some("zoe".to_owned()), note("b"));
    assert_eq!(second.unwrap(), TaskId::from("872c").output(1));
    let third = ctx.launch(note("c")).unwrap();
    assert_eq!(third, RunId::from(TaskId::from("872c").output(2)));
    let outputs = ctx.outputs();
    let facts: Vec<_> = outputs
        .iter()
        .map(|out| {
            let topic = out.topic.as_ref().map(|topic| topic.as_str().to_owned());
            (
                out.message.params.as_str(),
                topic,
                out.key.as_deref(),
                out.launch,
            )
        })
        .collect();
    assert_eq!(
        facts,
        [
            (r#"{"text":"a"}"#, None, None, false),
            (
                r#"{"text":"b"}"#,
                Some("mail".to_owned()),
                Some("zoe"),
                false
            ),
            (r#"{"text":"c"}"#, None, None, true),
        ]
    );
    for out in outputs {
        let metadata = &out.message.metadata;
        assert_eq!(metadata.get("n").unwrap().as_str(), "2.50");
        assert_eq!(metadata.traceparent().unwrap(), "00-a-b-01");
        assert!(metadata.envelope().is_none(), "it is no step of this run");
        assert!(
            out.message.result.data().is_empty(),
            "nothing is forwarded to it"
        );
    }
}

#[test]
fn the_ids_are_those_of_any_other_attempt_and_of_no_other_task() {
    let send = |uuid: &str, attempt| {
        let mut message = message();
        message.uuid = uuid.into();
        let ctx = Context::new(&message).with_attempt(attempt);
        (0..3)
            .map(|_| ctx.send(note("x")).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(send("a", 1), send("a", 2));
    let mut all: Vec<_> = [send("a", 1), send("b", 1)].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 6);
}

#[test]
fn what_cannot_be_sent_is_an_error_that_is_not_worth_another_attempt() {
    #[derive(Serialize, Deserialize)]
    struct Odd(BTreeMap<Vec<u8>, u8>);
    impl Entrypoint for Odd {
        const PATH: &'static str = "test.Odd";
    }
    #[derive(Serialize, Deserialize)]
    struct Bare(f64);
    impl Entrypoint for Bare {
        const PATH: &'static str = "test.Bare";
    }
    let ctx = Context::for_test();
    let errors = [
        ctx.send(Odd(BTreeMap::from([(vec![1], 1)]))).unwrap_err(),
        ctx.send(Bare(1.0)).unwrap_err(),
        ctx.send(Bare(f64::NAN)).unwrap_err(),
        ctx.launch(Bare(1.0)).unwrap_err(),
        ctx.send_to("no topic!", None, note("x")).unwrap_err(),
    ];
    for error in errors {
        assert!(!error.is_temporary(), "{error}");
    }
    assert!(
        ctx.outputs().is_empty(),
        "nothing was noted, so the next one is the first"
    );
    assert_eq!(ctx.send(note("x")).unwrap(), TaskId::from("task").output(0));
}

#[tokio::test]
async fn outputs_of_a_task_are_kept_even_if_a_thread_panicked_with_them() {
    let sends = |ctx: Context, _: Note| async move {
        ctx.send(note("kept"))?;
        let other = ctx.clone();
        let panicked = std::thread::spawn(move || {
            let _ = other.send(note("kept too"));
            panic!("elsewhere");
        });
        assert!(panicked.join().is_err());
        Ok::<_, TaskError>(())
    };
    let ctx = Context::for_test();
    let params = Object::new(&note("x")).unwrap();
    sends.into_task().run(&ctx, &params).await.unwrap();
    assert_eq!(ctx.outputs().len(), 2);
}

#[test]
fn a_context_tells_what_the_message_says() {
    let ctx = Context::new(&message()).with_attempt(3).with_fence(Some(7));
    assert_eq!(
        (ctx.uuid().as_str(), ctx.idempotency_key()),
        ("872c", "872c")
    );
    assert_eq!(ctx.entrypoint().as_str(), "test.Note");
    assert_eq!((ctx.run().unwrap().as_str(), ctx.step()), ("5e1f", Some(2)));
    assert_eq!((ctx.attempt(), ctx.fence()), (3, Some(7)));
    assert_eq!(ctx.metadata("who").unwrap().as_str(), "\"zoe\"");
    assert!(ctx.metadata("kser").is_none());
    assert_eq!(ctx.traceparent().unwrap(), "00-a-b-01");
    let lone = Context::for_test();
    assert_eq!((lone.run(), lone.step(), lone.fence()), (None, None, None));
}

#[tokio::test]
async fn a_handler_sees_that_it_should_stop() {
    let ctx = Context::for_test();
    let copy = ctx.clone();
    let waiting = tokio::spawn(async move { copy.cancelled().await });
    tokio::task::yield_now().await;
    assert!(!ctx.is_cancelled() && !waiting.is_finished());
    ctx.cancellation().cancel();
    waiting.await.unwrap();
    assert!(ctx.is_cancelled());
}

#[test]
fn an_error_of_the_core_keeps_its_causes() {
    let error = Error::from(kser_core::Topic::new("no topic!").unwrap_err());
    assert!(matches!(error, Error::InvalidTopic { .. }));
    assert!(TaskError::from(error).message().contains("no topic!"));
}

#[test]
fn success_goes_by_the_latest_retval() {
    let retval = |text: &[u8]| -> Object { Raw::from_slice(text).unwrap().parse().unwrap() };
    let (failed, cleared) = (
        retval(b"{\"error\":\"\"}"),
        retval(b"{\"\\u0065rror\":null}"),
    );
    let outcome = Outcome::default().with_data(failed.clone());
    assert!(!outcome.is_success());
    assert!(outcome.clone().with_data(cleared.clone()).is_success());
    let cleared = Outcome::default().with_data(cleared);
    assert!(outcome.merge(&cleared).is_success());
    assert!(!cleared.merge(&outcome).is_success());
    let written = serde_json::to_string(&outcome).unwrap();
    let read: Outcome = serde_json::from_str(&written).unwrap();
    assert_eq!(read, outcome);
    assert!(!read.is_success());
}
