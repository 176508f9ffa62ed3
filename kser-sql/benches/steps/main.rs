//! How fast stored steps are on PostgreSQL and SQLite, over the memory transport, beside a bare client that writes the same rows
//! in groups, in the same run. Every figure is the median of several runs.
//!
//! The arguments are the figures that are wanted: `postgres`, `sqlite`, `long` (one operation of 40 steps), `plans` (one of 100,
//! 1,000 and 10,000 steps), `kill` (a worker that is killed and started again), and `rows`, which fills the tables with 1,000,000
//! finished and 10,000 running runs. The last three are not among those without an argument. `runs=5` sets the
//! number of runs, `seconds=3` their length.

mod bare;
mod kill;
mod rows;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kser::{Client, Entrypoint, Registry, Step, TaskError};
use kser_core::StateStore;
use kser_sql::{PostgresStore, SqliteStore};
use serde::{Deserialize, Serialize};
use test_services::Postgres;
use tokio::task::JoinSet;
use tokio::time::Instant;

#[derive(Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Order")]
struct Order {
    steps: usize,
    customer: String,
}

#[derive(Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Charge")]
struct Charge {
    customer: String,
}

/// The settings of a call of the bench.
struct Settings {
    wanted: Vec<String>,
    runs: usize,
    length: Duration,
}

/// The median of several runs, the least and the most.
struct Figures {
    median: f64,
    least: f64,
    most: f64,
}

impl Settings {
    fn read() -> Self {
        let mut settings = Self {
            wanted: Vec::new(),
            runs: 5,
            length: Duration::from_secs(3),
        };
        for argument in std::env::args().skip(1).filter(|one| !one.starts_with('-')) {
            match argument.split_once('=') {
                Some(("runs", runs)) => settings.runs = runs.parse().expect("a number of runs"),
                Some(("seconds", seconds)) => {
                    let seconds = seconds.parse().expect("a number of seconds");
                    settings.length = Duration::from_secs(seconds);
                }
                _ => settings.wanted.push(argument),
            }
        }
        settings
    }

    fn wants(&self, name: &str) -> bool {
        match self.wanted.is_empty() {
            true => !["rows", "plans", "kill"].contains(&name),
            false => self.wanted.iter().any(|wanted| wanted == name),
        }
    }

    async fn figures(&self, mut run: impl AsyncFnMut() -> f64) -> Figures {
        let mut figures = Vec::new();
        for _ in 0..self.runs {
            figures.push(run().await);
        }
        figures.sort_by(f64::total_cmp);
        Figures {
            median: figures[figures.len() / 2],
            least: figures[0],
            most: figures[figures.len() - 1],
        }
    }
}

fn print(what: &str, unit: &str, digits: usize, figures: &Figures) {
    let Figures {
        median,
        least,
        most,
    } = figures;
    println!("{what}: {median:.digits$} {unit} ({least:.digits$} to {most:.digits$})");
}

fn customer() -> String {
    "a customer with a name and an address".to_owned()
}

async fn order(order: Order) -> Result<Vec<Step>, TaskError> {
    let charge = Charge {
        customer: order.customer,
    };
    Ok((0..order.steps)
        .map(|_| Step::new(charge.clone()))
        .collect())
}

async fn charge(_: Charge) {}

fn registry() -> Registry {
    let registry = Registry::new().operation(order).task(charge);
    registry.build().expect("the names are free")
}

async fn client(store: Arc<dyn StateStore>) -> Client {
    let client = Client::builder_from_url("memory://").store(store);
    client.build().await.expect("memory is always there")
}

/// Runs operations of three steps, so many at a time, for a while. Returns the steps a second.
async fn operations(store: Arc<dyn StateStore>, in_flight: usize, length: Duration) -> f64 {
    let client = client(store).await;
    let consumer = client.consumer(registry()).with_concurrency(in_flight);
    let consumer = consumer.with_buffer(4096, usize::MAX).spawn();
    let ended = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut loops = JoinSet::new();
    for _ in 0..in_flight {
        let (producer, ended) = (client.producer(), Arc::clone(&ended));
        loops.spawn(async move {
            while began.elapsed() < length {
                let order = Order {
                    steps: 3,
                    customer: customer(),
                };
                let run = producer.launch(order).await.expect("it is launched");
                run.wait().await.expect("it ends");
                ended.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while loops.join_next().await.is_some() {}
    let rate = 3.0 * ended.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    consumer.stop().await.expect("it stops");
    rate
}

/// Returns the milliseconds a step of one operation of so many steps.
async fn long(store: Arc<dyn StateStore>, steps: usize) -> f64 {
    let client = client(store).await;
    let consumer = client.consumer(registry()).spawn();
    let mut last = 0.0;
    // The first one warms the statements up.
    for steps in [3, steps] {
        let began = Instant::now();
        let order = Order {
            steps,
            customer: customer(),
        };
        let run = client.producer().launch(order).await;
        run.expect("it is launched").wait().await.expect("it ends");
        last = began.elapsed().as_secs_f64() * 1000.0 / steps as f64;
    }
    consumer.stop().await.expect("it stops");
    last
}

/// Returns the number of statements that the server has executed.
fn statements(server: &Postgres) -> f64 {
    let calls = server.execute("SELECT sum(calls) FROM pg_stat_statements");
    calls.parse().unwrap_or_default()
}

fn server() -> (Postgres, String) {
    let server = Postgres::start_with(&[("shared_buffers", "256MB")]);
    let url = server.url();
    (server, url)
}

async fn open(url: &str) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::open(url).await.expect("the server runs"))
}

async fn postgres(settings: &Settings) {
    let (server, url) = server();
    let store = open(&url).await;
    for in_flight in [64, 256] {
        let bare =
            settings.figures(async || bare::postgres(&url, in_flight, settings.length).await);
        let bare = bare.await;
        print(
            &format!("postgres, bare client, {in_flight} in flight"),
            "steps a second",
            0,
            &bare,
        );
        let mut trips = Vec::new();
        let rate = settings.figures(async || {
            let before = statements(&server);
            let rate = operations(store.clone(), in_flight, settings.length).await;
            trips.push((statements(&server) - before) / (rate * settings.length.as_secs_f64()));
            rate
        });
        let rate = rate.await;
        trips.sort_by(f64::total_cmp);
        let trips = trips[trips.len() / 2];
        print(
            &format!("postgres, operations of 3 steps, {in_flight} in flight"),
            "steps a second",
            0,
            &rate,
        );
        let ratio = rate.median / bare.median;
        println!("  {ratio:.2} of the bare client, {trips:.3} statements a step");
    }
}

async fn sqlite(settings: &Settings, file: &Path) {
    let store = SqliteStore::open(file)
        .await
        .expect("the file can be opened");
    let store = Arc::new(store);
    let bare_file = file.with_extension("bare");
    for in_flight in [64, 256] {
        let bare = settings.figures(async || {
            remove(&bare_file);
            bare::sqlite(&bare_file, in_flight, settings.length).await
        });
        let bare = bare.await;
        print(
            &format!("sqlite, bare client, {in_flight} in flight"),
            "steps a second",
            0,
            &bare,
        );
        let rate =
            settings.figures(async || operations(store.clone(), in_flight, settings.length).await);
        let rate = rate.await;
        print(
            &format!("sqlite, operations of 3 steps, {in_flight} in flight"),
            "steps a second",
            0,
            &rate,
        );
        println!("  {:.2} of the bare client", rate.median / bare.median);
    }
    remove(&bare_file);
}

async fn one_long(settings: &Settings, file: &Path) {
    let (_server, url) = server();
    let postgres = open(&url).await;
    let step = settings
        .figures(async || long(postgres.clone(), 40).await)
        .await;
    print("postgres, one operation of 40 steps", "ms a step", 2, &step);
    let sqlite = SqliteStore::open(file)
        .await
        .expect("the file can be opened");
    let sqlite = Arc::new(sqlite);
    let step = settings
        .figures(async || long(sqlite.clone(), 40).await)
        .await;
    print("sqlite, one operation of 40 steps", "ms a step", 2, &step);
    let bare_file = file.with_extension("bare");
    let bare = settings.figures(async || {
        remove(&bare_file);
        1000.0 / bare::sqlite(&bare_file, 1, settings.length).await
    });
    print("sqlite, bare client, one run", "ms a step", 2, &bare.await);
    remove(&bare_file);
}

/// Compares the cost of a step in operations of different lengths.
async fn plans(settings: &Settings, file: &Path) {
    let (_server, url) = server();
    let sqlite = SqliteStore::open(file)
        .await
        .expect("the file can be opened");
    let stores: [(&str, Arc<dyn StateStore>); 2] =
        [("postgres", open(&url).await), ("sqlite", Arc::new(sqlite))];
    for (name, store) in stores {
        for steps in [100, 1_000, 10_000] {
            let step = settings.figures(async || long(Arc::clone(&store), steps).await);
            print(
                &format!("{name}, one operation of {steps} steps"),
                "ms a step",
                3,
                &step.await,
            );
        }
    }
}

/// Measures how fast operations go on after a kill.
async fn kills(settings: &Settings) {
    for name in ["postgres", "sqlite"] {
        let (mut on, mut done) = (Vec::new(), Vec::new());
        for run in 0..settings.runs {
            let (_server, url) = server();
            let file =
                std::env::temp_dir().join(format!("kser-bench-{}-{run}.db", std::process::id()));
            let path = file.display().to_string();
            let recovery = kill::kill(if name == "sqlite" { &path } else { &url }).await;
            on.push(recovery.on);
            done.push(recovery.done);
            remove(&file);
        }
        for (what, mut figures) in [("goes on", on), ("is done", done)] {
            figures.sort_by(f64::total_cmp);
            let figures = Figures {
                median: figures[figures.len() / 2],
                least: figures[0],
                most: figures[figures.len() - 1],
            };
            let what = format!("{name}, 500 operations of 3 steps after kill -9, {what} after");
            print(&what, "s", 2, &figures);
        }
    }
}

fn remove(file: &Path) {
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", file.display()));
    }
}

#[tokio::main]
async fn main() {
    kill::work().await;
    let settings = Settings::read();
    let file = std::env::temp_dir().join(format!("kser-bench-{}.db", std::process::id()));
    if settings.wants("postgres") {
        postgres(&settings).await;
    }
    if settings.wants("sqlite") {
        sqlite(&settings, &file).await;
    }
    if settings.wants("long") {
        one_long(&settings, &file).await;
    }
    if settings.wants("plans") {
        plans(&settings, &file).await;
    }
    if settings.wants("kill") {
        kills(&settings).await;
    }
    if settings.wants("rows") {
        rows::rows(&settings, &file).await;
    }
    remove(&file);
}
