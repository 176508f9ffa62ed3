//! A broker that is frozen while many tasks wait: the consumer holds a bounded number of them, and nothing is lost, runs twice or
//! overtakes another of its key. The process stays live meanwhile, and is not ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{AT_LEAST_ONCE, Tested, connect, expect, on_cluster, patiently, until, url_of};
use kser::{Client, Context, Entrypoint, Registry, TaskError};
use kser_observe::{Monitor, Server, ServerError};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};
use test_services::Cluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// The keys of the tasks, which take turns.
const KEYS: usize = 100;

/// The records that a consumer holds.
const HELD: usize = 256;

/// A frozen broker answers again before a session or a request of this length is over.
const PATIENT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("sea.Ship")]
struct Ship {
    number: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("port.Arrival")]
struct Arrival {
    number: usize,
}

pub(crate) fn trials() -> Vec<Trial> {
    vec![on_cluster(
        "a_a_broker_is_frozen_while_many_tasks_wait",
        many_wait,
    )]
}

/// Reads the setting of a longer test.
fn setting(name: &str, default: u64) -> u64 {
    let setting = std::env::var(name).ok();
    setting
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// The arrivals by key, in their order.
#[derive(Debug, Clone, Default)]
struct Arrivals(Arc<Mutex<BTreeMap<usize, Vec<usize>>>>);

impl Arrivals {
    fn add(&self, number: usize) {
        let mut all = self.0.lock().unwrap();
        all.entry(number % KEYS).or_default().push(number);
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().values().map(Vec::len).sum()
    }

    /// Counts the numbers that arrived, each once.
    fn distinct(&self) -> usize {
        let all = self.0.lock().unwrap();
        let first = all.values().map(|numbers| first_of_each(numbers).len());
        first.sum()
    }

    /// Checks that the first arrivals of each key are in order.
    fn are_in_order(&self) -> Tested {
        for numbers in self.0.lock().unwrap().values() {
            let first = first_of_each(numbers);
            expect(first.is_sorted(), || format!("{first:?}"))?;
        }
        Ok(())
    }
}

fn first_of_each(numbers: &[usize]) -> Vec<usize> {
    let mut seen = std::collections::BTreeSet::new();
    let first = numbers.iter().filter(|number| seen.insert(**number));
    first.copied().collect()
}

fn registry(arrivals: &Arrivals) -> Result<Registry, kser::Error> {
    let ship = |ctx: Context, ship: Ship| async move {
        let (number, key) = (ship.number, format!("{}", ship.number % KEYS));
        ctx.send_to("port", Some(key), Arrival { number })?;
        Ok::<_, TaskError>(())
    };
    let arrivals = arrivals.clone();
    let arrival = move |arrival: Arrival| {
        arrivals.add(arrival.number);
        async {}
    };
    Registry::new().task(ship).task(arrival).build()
}

async fn send(kser: &Client, count: usize) -> Tested {
    let producer = kser.producer();
    for from in (0..count).step_by(1000) {
        let sends = (from..count.min(from + 1000)).map(|number| {
            let key = format!("{}", number % KEYS);
            producer.send(Ship { number }).with_key(key)
        });
        for sent in producer.send_all(sends).await {
            sent?;
        }
    }
    Ok(())
}

/// The answers of the probes of a process, which are asked all the time.
#[derive(Debug)]
struct Probes {
    answers: Arc<Mutex<Answers>>,
    asking: JoinHandle<()>,
    _server: Server,
}

#[derive(Debug, Default)]
struct Answers {
    /// The number of answers of `/livez`, and those that are not 200.
    live: usize,
    not_live: Vec<String>,
    /// The last answer of `/readyz`.
    ready: String,
}

impl Probes {
    fn start(monitor: &Monitor) -> Result<Self, ServerError> {
        let server = monitor.serve("127.0.0.1:0")?;
        let (address, answers) = (server.address(), Arc::<Mutex<Answers>>::default());
        let noted = Arc::clone(&answers);
        let asking = tokio::spawn(async move {
            loop {
                let get = |path: &'static str| async move {
                    let mut stream = TcpStream::connect(address).await?;
                    let request =
                        format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
                    stream.write_all(request.as_bytes()).await?;
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).await?;
                    Ok(answer)
                };
                let told = |answer: Result<String, std::io::Error>| {
                    answer.unwrap_or_else(|error| error.to_string())
                };
                let (live, ready) = (told(get("/livez").await), told(get("/readyz").await));
                {
                    let mut noted = noted.lock().unwrap();
                    noted.live += 1;
                    if !live.starts_with("HTTP/1.1 200 ") {
                        noted.not_live.push(live);
                    }
                    noted.ready = ready;
                }
                sleep(Duration::from_millis(200)).await;
            }
        });
        Ok(Self {
            answers,
            asking,
            _server: server,
        })
    }

    /// Waits until `/readyz` answers with this status and text.
    async fn await_ready(&self, status: u16, text: &str) -> Tested {
        let is_so = || {
            let answers = self.answers.lock().unwrap();
            let begins = format!("HTTP/1.1 {status} ");
            answers.ready.starts_with(&begins) && answers.ready.contains(text)
        };
        let waited = until("readyz answers so", Duration::from_secs(60), is_so).await;
        waited.map_err(|_| format!("not {status} {text}: {:?}", self.answers).into())
    }

    /// Checks that `/livez` has answered, always with 200.
    fn were_live(&self) -> Tested {
        self.asking.abort();
        let answers = self.answers.lock().unwrap();
        expect(answers.not_live.is_empty() && answers.live > 3, || {
            format!("{answers:?}")
        })
    }
}

/// In CI with a few tasks and seconds; `KSER_WAITING` and `KSER_FROZEN_SECONDS` make it longer.
async fn many_wait() -> Tested {
    let tasks = usize::try_from(setting("KSER_WAITING", 5000))?;
    let frozen = Duration::from_secs(setting("KSER_FROZEN_SECONDS", 3));
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1)).await?;
    let url = url_of(&cluster.bootstrap(), AT_LEAST_ONCE);
    let arrivals = Arrivals::default();
    let registry = registry(&arrivals)?;
    send(&connect(&url, &registry, 4).await?, tasks).await?;
    // A broker that answers is heard about once a second.
    let monitor = Monitor::new().with_silent_after(Duration::from_millis(1500));
    let probes = Probes::start(&monitor)?;
    let observed = || {
        Client::builder_from_url(&url)
            .observer(monitor.clone())
            .build()
    };
    let kser = patiently(observed).await?;
    let consumer = kser.consumer(registry).with_buffer(HELD, 16 << 20).spawn();
    let long = Duration::from_secs(300) + frozen * 4;
    until("some arrive", long, || arrivals.count() > tasks / 20).await?;
    let began = Instant::now();
    cluster.freeze(1);
    sleep(frozen).await;
    probes
        .await_ready(503, "kser.sea: no broker has answered for ")
        .await?;
    let health = consumer.handle().health();
    // Those that run or wait, and four times as many that are handed in.
    expect(health.held <= HELD * 5, || format!("{health:?}"))?;
    expect(arrivals.distinct() < tasks, || {
        "all arrived before the broker was frozen".to_owned()
    })?;
    cluster.thaw(1);
    let frozen = began.elapsed();
    until("all arrive", long, || arrivals.distinct() == tasks).await?;
    arrivals.are_in_order()?;
    let again = arrivals.count() - tasks;
    probes.await_ready(200, "ok").await?;
    probes.were_live()?;
    println!("{tasks} tasks, frozen for {frozen:?}: {again} ran again");
    expect(again == 0 || frozen >= PATIENT, || {
        format!("{again} ran again")
    })?;
    Ok(consumer.stop().await?)
}
