use std::fs::OpenOptions;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use kser::consumer::ConsumerHandle;
use kser::{Client, Error};
use libtest_mimic::Failed;
use tokio::time::{Instant, sleep};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::lines::Lines;
use super::road;

/// Names the client of a process that is a consumer.
const CHILD: &str = "KSER_TEST_CONSUMER";
/// How long its stop may take, in milliseconds.
const DEADLINE: &str = "KSER_TEST_DEADLINE";

/// The topics that it reads, with commas between, if not those of its tasks.
const TOPICS: &str = "KSER_TEST_TOPICS";

/// The URL of its state store, if it has one.
const STORE: &str = "KSER_TEST_STORE";

/// A consumer in a process of its own, and what it has printed.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Lines,
}

/// What a process is to be.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    url: String,
    instance: String,
    topics: String,
    store: String,
    deadline: Duration,
    output: Option<PathBuf>,
}

impl Setup {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            instance: String::new(),
            topics: String::new(),
            store: String::new(),
            deadline: Duration::from_secs(5),
            output: None,
        }
    }

    pub(crate) fn with_instance(mut self, name: &str) -> Self {
        name.clone_into(&mut self.instance);
        self
    }

    pub(crate) fn with_topics(mut self, topics: &[&str]) -> Self {
        self.topics = topics.join(",");
        self
    }

    /// Keeps the states of operations in the store of this URL.
    pub(crate) fn with_store(mut self, url: &str) -> Self {
        url.clone_into(&mut self.store);
        self
    }

    pub(crate) const fn with_shutdown_timeout(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Prints to the end of a file, and so may others: its lines are in the order in which they were written, and outlive
    /// whoever wrote them. The process is not listened to.
    pub(crate) fn with_output(mut self, file: &Path) -> Self {
        self.output = Some(file.to_owned());
        self
    }

    pub(crate) fn start(&self) -> Result<Process, Failed> {
        let output = match &self.output {
            None => Stdio::piped(),
            Some(file) => OpenOptions::new()
                .append(true)
                .create(true)
                .open(file)?
                .into(),
        };
        let mut child = Command::new(std::env::current_exe()?)
            .env(CHILD, &self.url)
            .env(DEADLINE, self.deadline.as_millis().to_string())
            .env("KSER_INSTANCE", &self.instance)
            .env(TOPICS, &self.topics)
            .env(STORE, &self.store)
            .stdout(output)
            .spawn()?;
        let lines = Lines::of(&mut child);
        Ok(Process { child, lines })
    }
}

impl Process {
    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) -> Result<ExitStatus, Failed> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// Sends a signal, such as `-STOP`.
    pub(crate) fn signal(&self, signal: &str) -> Result<(), Failed> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status()?;
        match sent.success() {
            true => Ok(()),
            false => Err(format!("{signal} is not sent").into()),
        }
    }

    pub(crate) fn has_ended(&mut self) -> Result<bool, Failed> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits for its end. One that does not end is killed.
    pub(crate) async fn end(&mut self, limit: Duration) -> Result<ExitStatus, Failed> {
        let began = Instant::now();
        while began.elapsed() <= limit {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            sleep(Duration::from_millis(10)).await;
        }
        self.kill()?;
        Err(format!("it still lives after {limit:?}:\n{}", self.output()).into())
    }

    /// Asks it to stop as a deploy does, and waits for its end.
    pub(crate) async fn stop(&mut self) -> Result<ExitStatus, Failed> {
        self.signal("-TERM")?;
        self.end(Duration::from_secs(60)).await
    }
}

impl Deref for Process {
    type Target = Lines;

    fn deref(&self) -> &Lines {
        &self.lines
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Lives as a consumer, if this process was started as one, until a signal ends it. Says whether it was.
pub(crate) fn was_consumer() -> bool {
    let Ok(url) = std::env::var(CHILD) else {
        return false;
    };
    let deadline = std::env::var(DEADLINE).unwrap().parse().unwrap();
    run_alone(consume(&url, Duration::from_millis(deadline)));
    true
}

/// Runs a consumer as the whole of this process, and prints its warnings, the partitions that it gains and loses, and how it
/// ended.
pub(crate) fn run_alone(consumer: impl Future<Output = Result<(), Error>>) {
    let shown = Targets::new()
        .with_default(tracing::Level::WARN)
        .with_target("kser_kafka", tracing::Level::INFO);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stdout)
        .with_ansi(false);
    tracing_subscriber::registry()
        .with(lines.with_filter(shown))
        .init();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    let ended = runtime.block_on(consumer);
    println!("stopped {ended:?}");
}

/// Connects, also while the database restarts, as a supervisor would start the program again.
async fn connect_with_store(url: &str, store: &str) -> Result<Client, Error> {
    let mut tries = 0;
    loop {
        match kser::connect_with_store(url, store).await {
            Err(error) if error.is_temporary() && tries < 100 => {
                tries += 1;
                sleep(Duration::from_millis(200)).await;
            }
            done => return done,
        }
    }
}

async fn consume(url: &str, deadline: Duration) -> Result<(), Error> {
    let store = std::env::var(STORE).unwrap_or_default();
    let kser = match store.is_empty() {
        true => kser::connect(url).await?,
        false => connect_with_store(url, &store).await?,
    };
    println!("connected to the brokers");
    let consumer = kser.consumer(road::registry(road::Diary::printed()));
    let mut consumer = consumer.with_instance_from_env().with_signals();
    let topics = std::env::var(TOPICS).unwrap_or_default();
    if !topics.is_empty() {
        consumer = consumer.with_topics(topics.split(','))?;
    }
    tokio::spawn(tell(consumer.handle()));
    consumer.with_shutdown_timeout(deadline).run().await
}

/// Tells how many partitions are its own, whenever that changes.
async fn tell(handle: ConsumerHandle) {
    let mut told = 0;
    loop {
        let health = handle.health();
        let assigned = health.transport.iter().map(|health| health.assigned.len());
        let assigned = assigned.sum();
        if assigned != told {
            println!("assigned {assigned}");
            told = assigned;
        }
        sleep(Duration::from_millis(50)).await;
    }
}
