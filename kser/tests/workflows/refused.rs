//! What cannot run is refused before anything is sent.

use crate::common::{Note, client, note};
use kser::client::Mode;
use kser::{Error, Registry, Step};

#[tokio::test(start_paused = true)]
async fn a_plan_that_cannot_run_is_refused() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let producer = kser.producer();
    let twins = vec![
        Step::new(note("a")).with_id("t"),
        Step::new(note("b")).with_id("t"),
    ];
    let error = producer
        .launch_steps("test.Twins", twins)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "step 2 of the operation cannot run: another step has its uuid \"t\""
    );
    let error = producer
        .launch_steps("test.None", Vec::new())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("Nothing to do, empty operation !"),
        "{error}"
    );
    let topic = vec![Step::new(note("a")).with_topic("no topic")];
    let error = producer
        .launch_steps("test.Topic", topic)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("characters other than"),
        "{error}"
    );
    let many = vec![Step::new(note("a")); 100_001];
    let error = producer.launch_steps("test.Many", many).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "number of steps of the operation is 100001, over the limit of 100000"
    );
    assert!(
        kser.runs()
            .list(&kser::run::RunFilter::default())
            .await?
            .rows
            .is_empty()
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_is_refused_before_it_is_sent() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let producer = kser.producer();
    let large = note(&"x".repeat(1_000_001));
    let error = producer.send(large.clone()).await.unwrap_err();
    let said = error.to_string();
    assert!(said.ends_with("over the limit of 1000000"), "{said}");
    assert!(
        said.starts_with("bytes of the message of test.Note ("),
        "{said}"
    );
    let sent = producer.send_all([
        producer.send(note("a")),
        producer.send(large),
        producer.send(note("b")),
    ]);
    let answers: Vec<bool> = sent.await.iter().map(Result::is_ok).collect();
    assert_eq!(answers, [true, false, true]);
    Ok(())
}

#[tokio::test]
async fn a_duplicate_entrypoint_is_refused() {
    async fn one(_: Note) {}
    async fn two(_: Note) {}
    let error = Registry::new().task(one).task(two).build().unwrap_err();
    assert_eq!(error.to_string(), "registered more than once: test.Note");
}
