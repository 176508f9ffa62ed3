use kser::backend::{Record, Transport, headers};
use kser::client::{Client, Clock};
use kser::memory::{MemoryStore, MemoryTransport};
use kser::message::Topic;
use kser::run::Timestamp;
use kser_ops::Ops;

/// The time at which the tests look.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_849_200_000);

/// A clock that stands still.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// A client in memory, and the questions to it.
pub(crate) struct World {
    pub(crate) transport: MemoryTransport,
    pub(crate) client: Client,
    pub(crate) ops: Ops,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_prefix("").await
    }

    pub(crate) async fn with_prefix(prefix: &str) -> Self {
        let transport = MemoryTransport::new();
        let routes = kser::client::Routes::new()
            .with_prefix(prefix)
            .expect("a prefix");
        let builder = Client::builder(transport.clone()).store(MemoryStore::new());
        let client = builder.routes(routes).build().await.expect("a client");
        Self {
            ops: Ops::new(client.clone()).with_clock(Still),
            transport,
            client,
        }
    }

    /// Writes dead letters.
    pub(crate) async fn publish(&self, letters: Vec<Record>) {
        self.transport
            .publish(letters)
            .await
            .expect("letters are written");
    }
}

/// Makes a dead letter of a topic, which failed this many seconds before [`NOW`].
pub(crate) fn letter(topic: &str, entrypoint: &str, code: i64, error: &str, ago: u64) -> Record {
    let failed = (NOW.as_millis() - ago * 1000).to_string();
    let topic = Topic::new(format!("{topic}.dlt")).expect("a topic");
    Record::new(topic, Some("{}".into()))
        .with_header(headers::ENTRYPOINT, entrypoint.to_owned())
        .with_header(headers::CODE, code.to_string())
        .with_header(headers::ERROR, error.to_owned())
        .with_header(headers::ATTEMPTS, "3")
        .with_header(headers::FIRST_FAILED, failed.clone())
        .with_header(headers::LAST_FAILED, failed)
}

/// Adds the run to a dead letter.
pub(crate) fn of_run(letter: Record, run: &str, step: u32) -> Record {
    letter
        .with_header(headers::RUN, run.to_owned())
        .with_header(headers::STEP, step.to_string())
}
