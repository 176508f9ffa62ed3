//! Many partitions in one group: how long it takes to start, to join and to leave, and what it costs to be idle.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use kser::backend::{TopicSpec, Transport};
use kser::kafka::KafkaTransport;
use kser::message::Topic;
use kser::{Client, Error, Registry};
use test_services::Cluster;
use tokio::runtime::Runtime;

use crate::offsets::Offsets;
use crate::process::micros;
use crate::setup::{Work, options, text};

/// Names the URL of a process that is a consumer.
const URL: &str = "KSER_BENCH_SCALE";
/// How long each step may take.
const LIMIT: Duration = Duration::from_secs(120);
/// How long the idle consumer, and the load, are looked at.
const LOOK: Duration = Duration::from_secs(15);
/// How long the client may be busy with its start before it counts as idle.
const QUIET: Duration = Duration::from_secs(60);
/// Tasks a second while consumers join and leave.
const RATE: u32 = 300;

/// Runs the sizes `PARTITIONS` or `PARTITIONS+delays`; without any, those that are documented.
pub(crate) fn run(sizes: &[String]) {
    let documented = ["2000", "2000+delays", "5000", "10000"].map(str::to_owned);
    let sizes = if sizes.is_empty() {
        &documented[..]
    } else {
        sizes
    };
    for size in sizes {
        let (partitions, has_delays) = match size.split_once('+') {
            Some((partitions, _)) => (partitions, true),
            None => (size.as_str(), false),
        };
        let partitions = partitions.parse().expect("a size is a number");
        println!("{size} partitions:");
        Scale::new(partitions, has_delays).run();
    }
}

/// A broker with a topic, and what consumers of it have told.
struct Scale {
    partitions: u32,
    cluster: Cluster,
    runtime: Runtime,
    kser: Client,
    tell: Sender<(usize, Event)>,
    told: Receiver<(usize, Event)>,
    /// The latest number of partitions that each process has, and its lag.
    assigned: BTreeMap<usize, u32>,
    lag: BTreeMap<usize, String>,
    ran: BTreeMap<u32, u32>,
    last_run: u64,
    longest_gap: u64,
    next: u32,
}

enum Event {
    Ran(u32, u64),
    Assigned(u32, String),
}

impl Scale {
    fn new(partitions: u32, has_delays: bool) -> Self {
        // The session of Kafka's default: this broker is busy for longer than tests let theirs be.
        let cluster = Cluster::builder()
            .with_full_speed()
            .with_property("broker.session.timeout.ms", "9000")
            .with_property("broker.heartbeat.interval.ms", "2000")
            .start();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime can be made");
        let servers = cluster.bootstrap();
        let kser = runtime.block_on(connect(&servers, partitions, has_delays));
        let (tell, told) = channel();
        Self {
            partitions,
            cluster,
            runtime,
            kser,
            tell,
            told,
            assigned: BTreeMap::new(),
            lag: BTreeMap::new(),
            ran: BTreeMap::new(),
            last_run: 0,
            longest_gap: 0,
            next: 0,
        }
    }

    fn run(mut self) {
        let began = Instant::now();
        self.send(self.partitions);
        println!("  sent after {:.1} s", began.elapsed().as_secs_f64());
        let began = Instant::now();
        let first = Consumer::start(0, &self.cluster.bootstrap(), self.tell.clone());
        self.until("the first task", |it| !it.ran.is_empty());
        let first_task = began.elapsed();
        let all = self.partitions as usize;
        self.until("all tasks", |it| it.ran.len() == all);
        println!(
            "  first task after {:.1} s, one for each partition after {:.1} s",
            first_task.as_secs_f64(),
            began.elapsed().as_secs_f64()
        );
        for (name, wait) in [("just started", Duration::from_secs(5)), ("idle", QUIET)] {
            self.settle(wait);
            let before = first.processor();
            self.settle(LOOK);
            let share = (first.processor() - before) / LOOK.as_secs_f64() * 100.0;
            let lag = self.lag.get(&0).cloned().unwrap_or_default();
            let memory = first.memory();
            println!("  {name}: {share:.0} % of a core, {memory:.0} MiB, lag {lag}");
        }

        let offsets = Offsets::start(&self.cluster.bootstrap());
        self.settle_with_load(LOOK);
        println!("  with {RATE} tasks a second: {}", offsets.stop());
        self.longest_gap = 0;
        let began = Instant::now();
        let second = Consumer::start(1, &self.cluster.bootstrap(), self.tell.clone());
        let half = self.partitions / 2;
        let joined = self.until_with_load(|it| {
            [0, 1].iter().all(|process| {
                let has = it.assigned.get(process).copied().unwrap_or_default();
                has.abs_diff(half) <= 1
            })
        });
        self.say("a second consumer has its half", joined, began);
        self.longest_gap = 0;
        let began = Instant::now();
        second.terminate();
        let all = self.partitions;
        let left = self.until_with_load(|it| it.assigned.get(&0) == Some(&all));
        self.say("it has left", left, began);
        let sent = self.next as usize;
        let done = self.until_quietly(|it| it.ran.len() == sent);
        let twice = self.ran.values().filter(|runs| **runs > 1).count();
        println!(
            "  {} of {sent} tasks ran, {twice} of them twice{}",
            self.ran.len(),
            if done { "" } else { " (in time)" }
        );
        self.settle(Duration::from_secs(3));
        let lag = self.lag.get(&0).cloned().unwrap_or_default();
        println!("  lag at the end {lag}, {:.0} MiB", first.memory());
    }

    fn say(&self, what: &str, is_so: bool, began: Instant) {
        let after = began.elapsed().as_secs_f64();
        let gap = self.longest_gap as f64 / 1e6;
        match is_so {
            true => println!("  {what} after {after:.1} s; no task ran for {gap:.1} s"),
            false => println!(
                "  not within {after:.0} s: {what}; no task ran for {gap:.1} s; assigned {:?}",
                self.assigned
            ),
        }
    }

    fn send(&mut self, count: u32) {
        let producer = self.kser.producer();
        let sends = (0..count).map(|n| {
            let work = Work {
                number: self.next + n,
                text: text(),
            };
            producer.send(work)
        });
        for sent in self.runtime.block_on(producer.send_all(sends)) {
            drop(sent.expect("it is sent"));
        }
        self.next += count;
    }

    fn note(&mut self, process: usize, event: Event) {
        match event {
            Event::Ran(number, at) => {
                *self.ran.entry(number).or_default() += 1;
                if self.last_run > 0 {
                    self.longest_gap = self.longest_gap.max(at.saturating_sub(self.last_run));
                }
                self.last_run = self.last_run.max(at);
            }
            Event::Assigned(count, lag) => {
                self.assigned.insert(process, count);
                self.lag.insert(process, lag);
            }
        }
    }

    /// Takes what is told, for this long.
    fn settle(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.told.recv_timeout(left) {
                Ok((process, event)) => self.note(process, event),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => panic!("the sender is kept"),
            }
        }
    }

    fn settle_with_load(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.send(RATE / 10);
            self.settle(Duration::from_millis(100));
        }
    }

    /// Waits until something is so while tasks are sent, within a limit. Says whether it was.
    fn until_with_load(&mut self, is_so: impl Fn(&Self) -> bool) -> bool {
        let until = Instant::now() + LIMIT;
        while !is_so(self) {
            if Instant::now() > until {
                return false;
            }
            self.send(RATE / 10);
            self.settle(Duration::from_millis(100));
        }
        true
    }

    fn until_quietly(&mut self, is_so: impl Fn(&Self) -> bool) -> bool {
        let until = Instant::now() + LIMIT / 2;
        while !is_so(self) {
            if Instant::now() > until {
                return false;
            }
            self.settle(Duration::from_millis(50));
        }
        true
    }

    fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        if !self.until_quietly(is_so) {
            println!("  not in time: {what}; {} ran", self.ran.len());
        }
    }
}

async fn connect(servers: &str, partitions: u32, has_delays: bool) -> Client {
    let transport = KafkaTransport::connect(&format!("kafka://{servers}")).await;
    let transport = transport.expect("the broker answers");
    let topic = |name: &str| Topic::new(name).expect("it is a name");
    let events = TopicSpec::observed(topic("kser.events")).with_partitions(1);
    // A topic that is not kept for groups gets no delay topics.
    let work = match has_delays {
        true => TopicSpec::work(topic("work")),
        false => TopicSpec::observed(topic("work")),
    };
    let began = Instant::now();
    let specs = [events, work.with_partitions(partitions)];
    let made = transport.ensure_topics(&specs).await;
    made.expect("topics are made");
    println!("  topics after {:.1} s", began.elapsed().as_secs_f64());
    let kser = Client::builder(transport).build().await;
    kser.expect("it is connected")
}

/// A consumer in a process of its own.
struct Consumer(Child);

impl Consumer {
    fn start(number: usize, servers: &str, tell: Sender<(usize, Event)>) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(program)
            .env(URL, format!("kafka://{servers}?{}", options()))
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started");
        let out = child.stdout.take().expect("it has an output");
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                match read(&line) {
                    Some(event) => drop(tell.send((number, event))),
                    None => println!("  consumer {number}: {line}"),
                }
            }
        });
        Self(child)
    }

    /// The seconds of processor time that it has used.
    fn processor(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()));
        let stat = stat.expect("it lives");
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let ticks = fields.split(' ').skip(11).take(2);
        let ticks = ticks.filter_map(|ticks| ticks.parse::<f64>().ok());
        ticks.sum::<f64>() / 100.0
    }

    /// Its memory in MiB.
    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()));
        let status = status.expect("it lives");
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        kib.expect("it is told in KiB") / 1024.0
    }

    fn terminate(&self) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        let _ = sent.expect("a signal can be sent");
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read(line: &str) -> Option<Event> {
    let mut words = line.split(' ');
    Some(match words.next()? {
        "ran" => Event::Ran(words.next()?.parse().ok()?, words.next()?.parse().ok()?),
        "assigned" => Event::Assigned(words.next()?.parse().ok()?, words.collect()),
        _ => return None,
    })
}

/// Lives as a consumer, if this process was started as one, until a signal ends it. Says whether it was.
pub(crate) fn was_consumer() -> bool {
    let Ok(url) = std::env::var(URL) else {
        return false;
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stdout)
        .with_ansi(false)
        .with_max_level(tracing::Level::WARN)
        .init();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().build();
    let ended = runtime
        .expect("a runtime can be made")
        .block_on(consume(&url));
    if let Err(error) = ended {
        println!("ended: {error:?}");
    }
    true
}

async fn consume(url: &str) -> Result<(), Error> {
    let task = move |work: Work| async move {
        println!("ran {} {}", work.number, micros());
    };
    let registry = Registry::new().task(task).build()?;
    let consumer = kser::connect(url).await?.consumer(registry).with_signals();
    let handle = consumer.handle();
    tokio::spawn(async move {
        loop {
            let health = handle.health();
            let assigned = health.transport.iter().map(|health| health.assigned.len());
            let lag: Vec<_> = health.transport.iter().map(|health| health.lag).collect();
            println!("assigned {} {lag:?}", assigned.sum::<usize>());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    consumer.run().await
}
