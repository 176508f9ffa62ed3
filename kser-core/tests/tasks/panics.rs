//! A panic anywhere in what a user writes is an error, and nothing else.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use kser_core::{
    Context, Entrypoint, IntoTask, Message, Object, Operation, OperationEntry, Outcome, Plan,
    Status, StatusChange, Step, Task, TaskEntry, TaskError, TaskExt, catch_panic,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Clone, Serialize, Deserialize)]
struct Roll {}

impl Entrypoint for Roll {
    const PATH: &'static str = "dice.Roll";
}

fn is_panic(error: &TaskError, text: &str) {
    assert_eq!(error.message(), format!("panic: {text}"));
    assert_eq!(
        (error.code(), error.name(), error.msgid()),
        (500, "InternalError", "ERR-29885")
    );
}

async fn fails(task: &TaskEntry) -> TaskError {
    task.run(&Context::for_test(), &Object::default())
        .await
        .unwrap_err()
}

/// Panics when it is dropped.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[tokio::test]
async fn the_text_of_a_panic_is_kept_whatever_it_carries() {
    async fn text(_: Roll) {
        panic!("boom");
    }
    async fn formatted(_: Roll) {
        panic!("{}", String::from("boom"));
    }
    async fn value(_: Roll) {
        std::panic::panic_any(5_u8);
    }
    async fn grenade(_: Roll) {
        std::panic::panic_any(Grenade);
    }
    is_panic(&fails(&text.into_task()).await, "boom");
    is_panic(&fails(&formatted.into_task()).await, "boom");
    is_panic(&fails(&value.into_task()).await, "no message");
    is_panic(&fails(&grenade.into_task()).await, "no message");
}

#[tokio::test]
async fn a_function_that_panics_before_there_is_a_future_is_an_error() {
    fn early(_: Roll) -> impl Future<Output = ()> + Send {
        #[expect(unreachable_code, reason = "the type needs a future")]
        {
            panic!("early");
            async {}
        }
    }
    is_panic(&fails(&early.into_task()).await, "early");
}

#[tokio::test]
async fn a_panic_on_the_way_out_is_an_error() {
    async fn drops(_: Roll) {
        let _grenade = Grenade;
    }
    is_panic(&fails(&drops.into_task()).await, "dropped");
}

/// This is what a time limit does to a handler.
#[tokio::test]
async fn a_handler_that_panics_when_it_is_given_up_harms_nobody() {
    async fn hangs(_: Roll) {
        let _grenade = Grenade;
        pending::<()>().await;
    }
    let (task, ctx, params) = (hangs.into_task(), Context::for_test(), Object::default());
    {
        let mut running = pin!(task.run(&ctx, &params));
        let polled = std::future::poll_fn(|cx| Poll::Ready(running.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
    }
    let never_polled = task.run(&ctx, &params);
    drop(never_polled);
}

#[tokio::test]
async fn params_and_values_that_panic_in_serde_are_errors() {
    struct Bomb;
    impl Serialize for Bomb {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("written");
        }
    }
    impl<'de> Deserialize<'de> for Bomb {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("read");
        }
    }
    impl Entrypoint for Bomb {
        const PATH: &'static str = "test.Bomb";
    }
    async fn reads(_: Bomb) {}
    async fn writes(_: Roll) -> kser_core::Json<Bomb> {
        kser_core::Json(Bomb)
    }
    async fn sends(ctx: Context, _: Roll) -> Result<(), TaskError> {
        ctx.send(Bomb)?;
        Ok(())
    }
    is_panic(&fails(&reads.into_task()).await, "read");
    is_panic(&fails(&writes.into_task()).await, "written");
    is_panic(&fails(&sends.into_task()).await, "written");
}

#[tokio::test]
async fn a_panic_in_on_error_keeps_the_first_error() {
    struct Double(Arc<AtomicU32>);
    impl Task for Double {
        type Params = Roll;
        type Output = ();
        async fn run(&self, _: &Context, _: Roll) -> Result<(), TaskError> {
            Err(TaskError::not_found("no dice"))
        }
        async fn on_error(&self, _: &Context, _: &TaskError) {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("again");
        }
    }
    let called = Arc::new(AtomicU32::new(0));
    let outcome = Double(Arc::clone(&called))
        .execute(&Context::for_test(), &Object::default())
        .await;
    assert_eq!((outcome.code(), outcome.error_message()), (404, "no dice"));
    assert_eq!(called.load(Ordering::Relaxed), 1);
}

/// Panics in one of its hooks, some of them before there is a future.
struct Bombs(&'static str);

impl Bombs {
    fn hook(&self, name: &str) {
        assert!(self.0 != name, "in {name}");
    }
}

impl Operation for Bombs {
    type Params = Roll;
    const STATUS_HOOK: bool = true;

    async fn prebuild(&self, _: &Context, _: &Roll) -> Result<(), TaskError> {
        self.hook("prebuild");
        Ok(())
    }

    async fn build_tasks(&self, _: &Context, roll: Roll) -> Result<Vec<Step>, TaskError> {
        self.hook("build_tasks");
        Ok(vec![Step::new(roll)])
    }

    async fn finalize(&self, _: &Context, plan: Plan) -> Result<Plan, TaskError> {
        self.hook("finalize");
        Ok(plan)
    }

    fn on_status(&self, _: &StatusChange) -> impl Future<Output = Result<(), TaskError>> + Send {
        self.hook("on_status");
        async { Ok(()) }
    }
}

#[tokio::test]
async fn a_panic_in_the_hooks_of_an_operation_is_an_error() {
    let message = Message::new("run".into(), "dice.Roll".into(), Object::default());
    for hook in ["prebuild", "build_tasks", "finalize"] {
        let entry = OperationEntry::new(Bombs(hook));
        let error = entry
            .build(&Context::new(&message), &message)
            .await
            .unwrap_err();
        is_panic(&error, &format!("in {hook}"));
    }
    let (from, to) = (Status::Pending, Status::Running);
    let change = StatusChange::new("run".into(), "dice.Roll".into(), from, to, 1, None);
    let error = OperationEntry::new(Bombs("on_status"))
        .on_status(&change)
        .await
        .unwrap_err();
    is_panic(&error, "in on_status");
}

#[tokio::test]
async fn what_does_not_panic_is_returned_as_it_is() {
    let outcome = catch_panic(async { Ok::<_, TaskError>(Outcome::text("fine")) }).await;
    assert_eq!(outcome.unwrap().message(), "fine");
    let error = catch_panic(async { Err::<(), _>(TaskError::not_found("gone")) }).await;
    assert_eq!(error.unwrap_err().code(), 404);
}
