//! Verbs that cannot be done say why, and send nothing.

mod common;

use common::{connection, note, told};
use kser::{Error, Mode, Outcome, Step};

#[tokio::test(start_paused = true)]
async fn without_a_store_verbs_say_so_and_send_nothing() -> Result<(), Error> {
    let kser = connection(Mode::AtLeastOnce).await;
    let run = kser
        .producer()
        .launch_steps("test.Run", vec![Step::new(note("a"))])
        .await?;
    let (runs, id) = (kser.runs(), run.id().clone());
    let refused = [
        run.cancel().await,
        run.resume().await,
        run.retry_step(&"s".into()).await,
        run.skip_step(&"s".into(), Outcome::default()).await,
        run.fork(1).await.map(|_| ()),
        run.purge().await.map(|_| ()),
        run.outcomes().await.map(|_| ()),
        runs.status(&id).await.map(|_| ()),
        runs.wait(&id).await.map(|_| ()),
        runs.list(&kser::RunFilter::default()).await.map(|_| ()),
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::NeedsStore { .. }), "{error}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_unknown_id_is_an_error_of_its_own() {
    let runs = connection(Mode::Stored).await.runs();
    let id = "nobody".into();
    for asked in [
        runs.status(&id).await.map(|_| ()),
        runs.cancel(&id).await,
        runs.resume(&id).await,
    ] {
        assert_eq!(told(&asked.unwrap_err()), "no such operation: nobody");
    }
}
