//! Together with programs of other languages, on real Kafka.
//!
//! The real Python package: its messages run here, ours run there, and it runs steps of our operations with the mixin of
//! `examples/python`. Of its two clients, confluent's is used. Where a bug of the package stands in the way, a comment says so.
//!
//! Plain Java: the programs of `examples/java` run steps of our operations and launch them, by what LANGUAGES.md says.

mod java;
mod process;
mod python_encryption;
mod python_messages;
mod python_steps;
mod python_traces;
mod values;

use std::future::Future;

use crate::common::{on_kafka, patiently};
use kser::{Client, Error};
use libtest_mimic::Trial;
use test_services::{Admin, kafka};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = java::trials();
    trials.extend(python_messages::trials());
    trials.extend(python_steps::trials());
    trials.extend(python_traces::trials());
    trials.extend(python_encryption::trials());
    trials
}

/// Declares a test that needs a Java compiler.
fn with_java<F: Future<Output = Result<(), Error>>>(
    name: &str,
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    let has_java = test_services::HAS_KAFKA && test_services::HAS_JAVA_COMPILER;
    on_kafka(name, test).with_ignored_flag(!has_java)
}

/// Declares a test that needs the Python package.
fn with_python<F: Future<Output = Result<(), Error>>>(
    name: &str,
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    let has_python = test_services::HAS_KAFKA && test_services::HAS_PYTHON;
    on_kafka(name, test).with_ignored_flag(!has_python)
}

/// A place of its own on the Kafka of this process, and topics by name within it.
struct Place {
    prefix: String,
}

impl Place {
    /// `name` is that of the test.
    fn new(name: &str) -> Self {
        // A Kafka that was started by hand may remember the last time.
        let prefix = format!("{name}-{}.", std::process::id());
        Self { prefix }
    }

    async fn connect(&self, stored: bool) -> Client {
        let servers = tokio::task::spawn_blocking(kafka).await.unwrap();
        let url = format!("kafka://{servers}?create=3&prefix={}", self.prefix);
        let client = || async {
            let builder = Client::builder_from_url(&*url);
            let builder = match stored {
                true => builder.store(kser::memory::MemoryStore::new()),
                false => builder,
            };
            builder.build().await
        };
        patiently(client).await.unwrap()
    }

    /// The package's consumer ends, as if all were well, when its topic is not there yet: it is made before.
    fn make_topic(&self, name: &str) -> String {
        let topic = self.topic(name);
        Admin::new(kafka()).create_topic(&topic, 3, 1);
        topic
    }

    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Starts a consumer of the package, see `consumer.py`.
    fn consumer(&self, topic: &str, kind: &str) -> process::Process {
        let topic = self.topic(topic);
        let script = "tests/kafka/languages/consumer.py";
        process::Process::python(script, &[kafka(), &topic, kind])
    }
}
