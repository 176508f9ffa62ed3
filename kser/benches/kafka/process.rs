//! A consumer in a process of its own, as it is in production: it can be killed, and its memory is its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use kser::postgres::PostgresStore;
use kser::{Client, Error, Registry};

use crate::setup::Work;

const URL: &str = "KSER_BENCH_CONSUMER";
const STORE: &str = "KSER_BENCH_STORE";
const PAUSE: &str = "KSER_BENCH_PAUSE";
const EVERY: &str = "KSER_BENCH_EVERY";

/// Nothing takes longer.
const LIMIT: Duration = Duration::from_secs(180);

pub(crate) struct Process {
    child: Child,
    notes: Receiver<Note>,
}

/// What a consumer tells of a task: when it began or was done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Note {
    pub(crate) is_done: bool,
    /// Microseconds since 1970: the clock that processes share.
    pub(crate) at: u64,
    /// The number in the task.
    pub(crate) number: u32,
}

/// What a consumer is to be.
#[derive(Clone)]
pub(crate) struct Consumer {
    url: String,
    /// The URL of the store on PostgreSQL; empty for none.
    store: String,
    instance: &'static str,
    pause: Duration,
    every: u64,
}

impl Consumer {
    /// One without a name whose tasks do nothing, and are all told of.
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            store: String::new(),
            instance: "",
            pause: Duration::ZERO,
            every: 1,
        }
    }

    pub(crate) const fn with_instance(mut self, name: &'static str) -> Self {
        self.instance = name;
        self
    }

    /// Has a store on PostgreSQL keep the runs.
    pub(crate) fn with_store(mut self, url: &str) -> Self {
        url.clone_into(&mut self.store);
        self
    }

    /// Has each task take so long.
    pub(crate) const fn with_pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Tells of the first task, and of the first after every so many.
    pub(crate) const fn telling_every(mut self, tasks: u64) -> Self {
        self.every = tasks;
        self
    }

    pub(crate) fn start(&self) -> Process {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(program)
            .env(URL, &self.url)
            .env(STORE, &self.store)
            .env(PAUSE, self.pause.as_millis().to_string())
            .env(EVERY, self.every.to_string())
            .env("KSER_INSTANCE", self.instance)
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started");
        let out = child.stdout.take().expect("it has an output");
        let (tell, notes) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                match Note::read(&line) {
                    Some(note) => drop(tell.send(note)),
                    None => println!("consumer: {line}"),
                }
            }
        });
        Process { child, notes }
    }
}

impl Process {
    /// Waits until it tells of the next task.
    pub(crate) fn next(&self) -> Note {
        let note = self.notes.recv_timeout(LIMIT);
        note.expect("the consumer runs tasks")
    }

    /// Waits until the next task that it tells of begins.
    pub(crate) fn next_begins(&self) -> Note {
        loop {
            let note = self.next();
            if !note.is_done {
                return note;
            }
        }
    }

    /// Ends it as `kill -9` does. Returns what it told that nobody has asked for.
    pub(crate) fn kill(mut self) -> Vec<Note> {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it ends");
        self.notes.iter().collect()
    }

    /// Stops it as a deploy does.
    pub(crate) fn stop(mut self) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(
            sent.is_ok_and(|sent| sent.success()),
            "a signal can be sent"
        );
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "it stops: {status}");
    }

    /// Reads a figure of its memory, in MiB: `VmRSS` is what it has, `VmHWM` the most that it had.
    pub(crate) fn memory(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it lives");
        let line = status.lines().find(|line| line.starts_with(name));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        kib.expect("it is told in KiB") / 1024.0
    }
}

/// One that ends by a panic leaves none behind.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Note {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let is_done = match words.next()? {
            "began" => false,
            "done" => true,
            _ => return None,
        };
        Some(Self {
            is_done,
            at: words.next()?.parse().ok()?,
            number: words.next()?.parse().ok()?,
        })
    }
}

pub(crate) fn micros() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| now.as_micros() as u64)
}

/// Seconds between two times.
pub(crate) fn seconds(from: u64, to: u64) -> f64 {
    (to as f64 - from as f64) / 1e6
}

/// Lives as a consumer, if this process was started as one, until a signal ends it. Says whether it was.
pub(crate) fn was_consumer() -> bool {
    let Ok(url) = std::env::var(URL) else {
        return false;
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stdout)
        .with_ansi(false)
        .with_max_level(tracing::Level::ERROR)
        .init();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().build();
    let ended = runtime
        .expect("a runtime can be made")
        .block_on(consume(&url));
    ended.expect("it stops");
    true
}

async fn consume(url: &str) -> Result<(), Error> {
    let [pause, every] = [PAUSE, EVERY].map(|name| {
        let value = std::env::var(name)
            .ok()
            .and_then(|value| value.parse().ok());
        value.expect("it is set")
    });
    let ran = Arc::new(AtomicU64::new(0));
    let task = move |work: Work| {
        let is_told = ran.fetch_add(1, Ordering::Relaxed).is_multiple_of(every);
        if is_told {
            println!("began {} {}", micros(), work.number);
        }
        async move {
            if pause > 0 {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            if is_told {
                println!("done {} {}", micros(), work.number);
            }
        }
    };
    let registry = Registry::new().task(task).build()?;
    let mut client = Client::builder_from_url(url);
    let store = std::env::var(STORE).unwrap_or_default();
    if !store.is_empty() {
        client = client.store(PostgresStore::open(&store).await?);
    }
    let consumer = client.build().await?.consumer(registry);
    consumer.with_instance_from_env().with_signals().run().await
}
