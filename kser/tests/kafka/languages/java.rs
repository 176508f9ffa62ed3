//! The programs of `examples/java`.

use std::time::Duration;

use kser::run::RunState;
use kser::{Client, Error, Status, Step};
use libtest_mimic::Trial;
use serde_json::json;
use test_services::kafka;
use tokio::sync::mpsc;

use super::process::Process;
use super::values::{ODD_NUMBERS, object, values};
use super::{Place, with_java};
use crate::common::trials;

const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn trials() -> Vec<Trial> {
    trials![
        with_java:
        values_pass_through_java_carried,
        values_pass_through_java_stored,
        java_launches_and_sees_the_end_carried,
        java_launches_and_sees_the_end_stored,
        a_step_is_run_again_when_its_java_consumer_is_killed,
    ]
}

/// The worker of the example, on the topic `office`.
fn office(place: &Place) -> Process {
    Process::java("Office", &[kafka(), &place.topic("office"), "office-1"])
}

/// Three steps, the second of which Java runs, with these params.
async fn approved(kser: &Client, params: serde_json::Value) -> Result<kser::Run, Error> {
    let left = object(r#"{"customer": "Zoë 🎲", "total": 2.50}"#);
    let steps = vec![
        Step::named("values.First", &left),
        Step::named("office.Approve", &params).external(LIMIT),
        Step::named("values.Third", &object(ODD_NUMBERS)),
    ];
    let launch = kser.producer().launch_steps("values.Order", steps);
    launch.with_metadata("tenant", "Zoë").await
}

/// Java sends what its task has left, and the text of the metadata; kser does the rest.
async fn values_pass_through(name: &str, stored: bool) -> Result<(), Error> {
    let place = Place::new(name);
    let kser = place.connect(stored).await;
    place.make_topic("office");
    let (told, mut given) = mpsc::unbounded_channel();
    let consumer = kser.consumer(values(&told)?).spawn();
    let mut java = office(&place);

    let run = approved(&kser, json!({"order": 42})).await?;
    assert_eq!(java.line("approving").await, "approving 42 for Zoë 🎲");
    let (params, previous) = given.recv().await.unwrap();
    assert_eq!(params, ODD_NUMBERS);
    let retval = previous.data().fields();
    let text = |name: &str| retval.get(name).map(|raw| raw.as_str().to_owned());
    assert_eq!(text("customer").as_deref(), Some(r#""Zoë 🎲""#));
    assert_eq!(text("total").as_deref(), Some("2.50"));
    assert_eq!(text("by").as_deref(), Some(r#""the owner""#));
    assert_eq!(run.wait_timeout(LIMIT).await?.status, Status::Success);

    // What fails in Java is told, and is run again by its dead letter.
    let run = approved(&kser, json!({"order": -1})).await?;
    assert_out_of_stock(&run.wait_timeout(LIMIT).await?);
    let mut letters = kser.dead_letters("values").await?;
    let letter = letters.next().await?;
    assert_eq!(letter.message()?.entrypoint.as_str(), "office.Approve");
    letter.replay().await?;
    java.line("approving -1").await;
    java.line("approving -1").await;
    assert_out_of_stock(&run.wait_timeout(LIMIT).await?);
    letters.close().await?;

    let step = Step::named("office.Nothing", &json!({})).external(LIMIT);
    let run = kser.producer().launch_steps("values.Nothing", vec![step]);
    let state = run.await?.wait_timeout(LIMIT).await?;
    assert_eq!(
        state.outcome.error_message(),
        "there is no task office.Nothing"
    );
    consumer.stop().await
}

fn assert_out_of_stock(state: &RunState) {
    assert_eq!(state.status, Status::Failed);
    let error = state.outcome.error().unwrap();
    let told = (error.name(), error.code(), error.message());
    assert_eq!(told, ("OutOfStock", 409, "no stock for order -1"));
}

/// Java launches with the least that a launch needs, and reads the end of the run from the events.
async fn launched(name: &str, stored: bool) -> Result<(), Error> {
    let place = Place::new(name);
    let kser = place.connect(stored).await;
    let (told, _given) = mpsc::unbounded_channel();
    let order = async |order: Order| {
        let step = |name: &str| Step::named(name, &json!({"order": order.order}));
        Ok::<_, kser::TaskError>(vec![step("values.First"), step("values.Third")])
    };
    let consumer = kser
        .consumer(values(&told)?.into_builder().operation(order).build()?)
        .spawn();
    // The topic of the events is there once a run was launched.
    let steps = vec![Step::named("values.Third", &())];
    let run = kser.producer().launch_steps("values.Before", steps).await?;
    run.wait_timeout(LIMIT).await?;

    let arguments = [
        kafka(),
        &place.prefix,
        "values.Order",
        "order-1",
        r#"{"order":7}"#,
    ];
    let mut java = Process::java("Launch", &arguments);
    assert_eq!(java.line("RUNNING").await, "order-1 RUNNING");
    assert_eq!(
        java.line("SUCCESS {").await,
        r#"order-1 SUCCESS {"order":7}"#
    );
    java.end().await;
    consumer.stop().await
}

#[derive(serde::Serialize, serde::Deserialize, kser::Entrypoint)]
#[entrypoint("values.Order")]
struct Order {
    order: i64,
}

async fn values_pass_through_java_carried() -> Result<(), Error> {
    values_pass_through("carried-java", false).await
}

async fn values_pass_through_java_stored() -> Result<(), Error> {
    values_pass_through("stored-java", true).await
}

async fn java_launches_and_sees_the_end_carried() -> Result<(), Error> {
    launched("carried-launch", false).await
}

async fn java_launches_and_sees_the_end_stored() -> Result<(), Error> {
    launched("stored-launch", true).await
}

/// The offset is committed after the report, so that Kafka delivers the step again.
async fn a_step_is_run_again_when_its_java_consumer_is_killed() -> Result<(), Error> {
    let place = Place::new("killed-java");
    let kser = place.connect(false).await;
    place.make_topic("office");
    let (told, _given) = mpsc::unbounded_channel();
    let consumer = kser.consumer(values(&told)?).spawn();
    let run = approved(&kser, json!({"order": 42, "ms": 2000})).await?;
    let mut java = office(&place);
    java.line("approving 42").await;
    java.kill().await;
    let mut java = office(&place);
    java.line("approved 42").await;
    assert_eq!(run.wait_timeout(LIMIT).await?.status, Status::Success);
    consumer.stop().await
}
