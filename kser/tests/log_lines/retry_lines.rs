//! The log lines of retries.

use std::time::Duration;

use crate::capture::{lines, listen};
use crate::common::{Double, client};
use kser::client::Mode;
use kser::{Error, IntoTask, Registry, Status, Step};

#[tokio::test(start_paused = true)]
async fn a_retry_is_logged_with_its_reason() -> Result<(), Error> {
    async fn hangs(_: Double) {
        std::future::pending::<()>().await;
    }
    listen();
    let kser = client(Mode::Stored).await;
    let hangs = hangs.with_time_limit(Duration::from_secs(7));
    let consumer = kser.consumer(Registry::new().task(hangs).build()?).spawn();
    let steps = vec![Step::new(Double { n: 1 })];
    let run = kser.producer().launch_steps("test.Hangs", steps);
    let run = run.with_id("the-run").await?;
    assert_eq!(run.wait().await?.status, Status::Failed);
    consumer.stop().await?;
    let log = lines();
    let retries: Vec<_> = log
        .lines()
        .filter(|line| line.contains("followed by another") && line.contains("the-run"))
        .collect();
    assert_eq!(retries.len(), 2, "{log}");
    for line in retries {
        assert!(line.contains("test.Double"), "{line}");
        assert!(line.contains("took longer than its limit of 7s"), "{line}");
    }
    Ok(())
}
