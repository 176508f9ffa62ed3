use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kser::backend::{TopicSpec, Transport};
use kser::client::{ClientBuilder, Routes};
use kser::kafka::KafkaTransport;
use kser::message::Topic;
use kser::{Client, Entrypoint};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// How often each figure is taken.
pub(crate) const RUNS: usize = 3;

pub(crate) struct Setup {
    pub(crate) servers: String,
    pub(crate) runtime: Runtime,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        Self {
            servers: test_services::kafka().to_owned(),
            runtime: runtime.expect("a runtime can be made"),
        }
    }

    /// Names the broker, with these topics, for another process.
    pub(crate) fn url(&self, prefix: &str) -> String {
        format!("kafka://{}?prefix={prefix}&{}", self.servers, options())
    }

    /// Connects, with topics of its own of so many partitions: those of the entrypoints of this bench.
    pub(crate) async fn connect(&self, partitions: u32) -> (Client, String) {
        self.connect_as(partitions, |builder| builder).await
    }

    /// Connects so with a client of other settings.
    pub(crate) async fn connect_as(
        &self,
        partitions: u32,
        configure: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> (Client, String) {
        let prefix = format!("b{}.", uuid::Uuid::new_v4().simple());
        let transport =
            KafkaTransport::connect(&format!("kafka://{}?{}", self.servers, options())).await;
        let transport = transport.expect("the broker answers");
        let topics = ["work", "out", "kser.events"];
        let specs = topics.map(|topic| {
            let topic = Topic::new(format!("{prefix}{topic}")).expect("it is a name");
            TopicSpec::work(topic).with_partitions(partitions)
        });
        transport
            .ensure_topics(&specs)
            .await
            .expect("topics are made");
        let routes = Routes::new().with_prefix(&prefix).expect("it is a prefix");
        let builder = Client::builder(transport).routes(routes);
        let kser = configure(builder).build().await;
        (kser.expect("it is connected"), prefix)
    }
}

/// More settings of the clients, as in a URL.
pub(crate) fn options() -> String {
    std::env::var("KSER_BENCH_OPTIONS").unwrap_or_default()
}

/// A task of 300 bytes as a message.
#[derive(Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("work.Work")]
pub(crate) struct Work {
    pub(crate) number: u32,
    pub(crate) text: String,
}

/// What it sends.
#[derive(Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("out.Out")]
pub(crate) struct Out {
    pub(crate) number: u32,
    pub(crate) text: String,
}

pub(crate) fn text() -> String {
    "somebody who plays for a long time, and now and then with luck".to_owned()
}

/// Counts what has run, and tells when all has.
#[derive(Default)]
pub(crate) struct Counter {
    pub(crate) ran: AtomicUsize,
    pub(crate) all: Notify,
}

impl Counter {
    pub(crate) fn count(&self, expected: usize) {
        if self.ran.fetch_add(1, Ordering::Relaxed) + 1 == expected {
            self.all.notify_one();
        }
    }

    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }
}

/// The seconds of processor time that each kind of thread of this process has used, by its name.
pub(crate) fn processor() -> BTreeMap<String, f64> {
    let mut used = BTreeMap::new();
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    for thread in threads.flatten() {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let Some((name, fields)) = stat.rsplit_once(") ") else {
            continue;
        };
        let name = name.split_once('(').map_or(name, |(_, name)| name);
        let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '/');
        let ticks = fields.split(' ').skip(11).take(2);
        let ticks = ticks.filter_map(|ticks| ticks.parse::<f64>().ok());
        *used.entry(name.to_owned()).or_default() += ticks.sum::<f64>() / 100.0;
    }
    used
}

/// The median of several runs.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The value below which this part of the values is, in milliseconds.
pub(crate) fn percentile(values: &mut [Duration], part: f64) -> f64 {
    values.sort();
    let at = ((values.len() - 1) as f64 * part) as usize;
    values[at].as_secs_f64() * 1e3
}
