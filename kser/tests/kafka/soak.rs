//! A soak: operations are launched all the time while brokers and consumers are killed and coordinators moved at random.
//! Every operation ends.
//!
//! `KSER_SOAK_SECONDS` says how long; without it, 25, and 300 with states on PostgreSQL. `KSER_SOAK_OPTIONS` adds options to
//! the URL: without `delivery=at-least-once` each message of a step is visible once. The times and victims of the kills follow
//! from `KSER_TEST_SEED`, which is printed; what is in flight at that moment does not.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::judge;
use crate::common::process::{Process, Setup};
use crate::common::road::{self, Diary, LEGS, Log, Trip, all_arrive};
use crate::common::{
    AT_LEAST_ONCE, Random, Tested, connect, expect, on_cluster, on_kafka, prefix, url,
};
use kser::backend::StateStore as _;
use kser::postgres::PostgresStore;
use kser::{Client, Run, Status};
use libtest_mimic::{Failed, Trial};
use test_services::{Cluster, Postgres};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, interval, sleep};

/// How many operations are launched each second: in ten minutes these are 100,000 steps.
const RATE: f64 = 100_000.0 / LEGS as f64 / 600.0;
/// They outlive a broker that dies. Whoever loses its partitions three times with a task counts as killed by it.
const SESSION: &str = "session.timeout.ms=6000&heartbeat.interval.ms=500";
/// How many launches may wait for the brokers at a time.
const LAUNCHING: usize = 256;
/// How long after its process was killed, or after all is healed, an operation has to have ended.
const RECOVERY: Duration = Duration::from_secs(90);

pub(crate) fn trials() -> Vec<Trial> {
    let name = "x_operations_all_end_while_brokers_and_consumers_are_killed_and_coordinators_move";
    let stored = on_kafka(
        "s_operations_all_end_while_consumers_and_the_database_are_killed",
        soak_on_postgres,
    );
    // It is long: a crash of the database keeps leases until they are over.
    vec![on_cluster(name, soak), stored.with_ignored_flag(true)]
}

/// The operations that are launched so far.
type Runs = Mutex<Vec<Run>>;

/// Returns how long the soak is.
fn seconds(default: u32) -> Result<u32, Failed> {
    let seconds = std::env::var("KSER_SOAK_SECONDS");
    Ok(seconds.map_or(Ok(default), |seconds| seconds.parse())?)
}

/// Kills consumers and the database that has the states, beside one broker that lives. Each step is accepted once.
async fn soak_on_postgres() -> Tested {
    let seconds = seconds(300)?;
    let trips = (RATE * f64::from(seconds)).ceil() as u32;
    let database = Arc::new(spawn_blocking(Postgres::start).await?);
    let url = url(SESSION);
    let store = PostgresStore::open(&database.url()).await?;
    let builder = Client::builder_from_url(&url).store(store.clone());
    let kser = builder.build().await?;
    let registry = road::registry(Diary::default());
    kser.ensure_topics(&registry, Some(6)).await?;
    let mut fleet = Fleet::start(&url, Some(&database.url()))?;
    let runs = Runs::default();
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let (crashed, killed, ()) = tokio::try_join!(
        kill_database(&database, end),
        fleet.kill_at_random(&runs, end),
        launch(&kser, trips, &runs),
    )?;
    let healed = Instant::now();
    let runs = runs.into_inner()?;
    all_arrive(&runs, RECOVERY).await?;
    println!(
        "{seconds} s, {crashed} kills of the database, {killed} of consumers: {} operations ended, the last {:?} after the end",
        runs.len(),
        healed.elapsed()
    );
    let log = fleet.stop().await?;
    let expected = trips as usize * (1 + LEGS as usize);
    println!("{expected} steps, {} ran again", log.runs() - expected);
    for run in &runs {
        let attempts = store.attempts(run.id(), None, 100).await?.rows;
        let good = attempts
            .iter()
            .filter(|attempt| attempt.status == Status::Success);
        let steps: Vec<u32> = good.map(|attempt| attempt.position).collect();
        expect(steps == [0, 1, 2, 3], || format!("{}: {steps:?}", run.id()))?;
    }
    println!("each step was accepted once");
    expect(crashed > 0 && killed > 0, || {
        "nothing was killed".to_owned()
    })?;
    log.in_order(trips)
}

/// Kills the database again and again, for less time than its stores try.
async fn kill_database(database: &Arc<Postgres>, end: Instant) -> Result<u32, Failed> {
    let (mut random, mut kills) = (Random::new("database"), 0);
    loop {
        sleep(Duration::from_millis(random.between(2000, 15_000))).await;
        if Instant::now() >= end {
            return Ok(kills);
        }
        let down = Duration::from_millis(random.between(0, 3000));
        let database = Arc::clone(database);
        spawn_blocking(move || {
            database.kill();
            std::thread::sleep(down);
            database.restart();
        })
        .await?;
        println!("the database was killed, and down for {down:?}");
        kills += 1;
    }
}

async fn soak() -> Tested {
    let seconds = seconds(25)?;
    let trips = (RATE * f64::from(seconds)).ceil() as u32;
    let cluster = Arc::new(spawn_blocking(|| Cluster::start(3)).await?);
    let (servers, prefix) = (cluster.bootstrap(), prefix());
    let options = std::env::var("KSER_SOAK_OPTIONS").unwrap_or_default();
    let url = format!("kafka://{servers}?prefix={prefix}&{SESSION}&{options}");
    let url = url.trim_end_matches('&');
    let kser = connect(url, &road::registry(Diary::default()), 6).await?;
    let mut fleet = Fleet::start(url, None)?;
    let runs = Runs::default();
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let (broken, killed, moved, ()) = tokio::try_join!(
        kill_brokers(&cluster, end),
        fleet.kill_at_random(&runs, end),
        move_coordinators(&cluster, end),
        launch(&kser, trips, &runs),
    )?;
    let healed = Instant::now();
    let runs = runs.into_inner()?;
    all_arrive(&runs, RECOVERY).await?;
    println!(
        "{seconds} s, {broken} kills of brokers, {killed} of consumers, {moved} moves of coordinators: {} operations ended, \
         the last {:?} after the end",
        runs.len(),
        healed.elapsed()
    );
    let log = fleet.stop().await?;
    let expected = trips as usize * (1 + LEGS as usize);
    println!("{expected} steps, {} ran again", log.runs() - expected);
    if !options.contains(AT_LEAST_ONCE) {
        judge::each_message_is_there_once(&servers, &prefix, expected).await?;
        println!("{expected} messages of steps are there once each");
    }
    expect(moved > 0, || "no coordinator has moved".to_owned())?;
    expect(runs.len() == trips as usize, || format!("{}", runs.len()))?;
    log.in_order(trips)
}

/// Launches operations at an even pace. What the brokers hold up is made up for.
async fn launch(kser: &Client, trips: u32, runs: &Runs) -> Tested {
    let mut random = Random::new("work");
    let mut pace = interval(Duration::from_secs_f64(1.0 / RATE));
    let mut launching = JoinSet::new();
    for trip in 0..trips {
        pace.tick().await;
        if launching.len() == LAUNCHING
            && let Some(launched) = launching.join_next().await
        {
            runs.lock().unwrap().push(launched??);
        }
        let (producer, ms) = (kser.producer(), random.between(0, 20));
        launching.spawn(async move { producer.launch(Trip { trip, ms }).await });
        while let Some(launched) = launching.try_join_next() {
            runs.lock().unwrap().push(launched??);
        }
    }
    while let Some(launched) = launching.join_next().await {
        runs.lock().unwrap().push(launched??);
    }
    Ok(())
}

/// Kills one broker after another. The next dies when the last has caught up: two of three have to have a record.
async fn kill_brokers(cluster: &Arc<Cluster>, end: Instant) -> Result<u32, Failed> {
    let (mut random, mut kills) = (Random::new("brokers"), 0);
    loop {
        sleep(Duration::from_millis(random.between(500, 4000))).await;
        if Instant::now() >= end {
            return Ok(kills);
        }
        let id = u16::try_from(random.between(1, 4))?;
        let down = Duration::from_millis(random.between(0, 4000));
        let cluster = Arc::clone(cluster);
        spawn_blocking(move || {
            cluster.kill(id);
            std::thread::sleep(down);
            cluster.restart(id);
            cluster.wait_until_in_sync();
        })
        .await?;
        println!("broker {id} was killed, and down for {down:?}");
        kills += 1;
    }
}

/// Moves the coordinators of all groups from broker to broker, and counts the partitions of `__consumer_offsets` that have
/// moved. They stay where they are while the brokers that could have them are down.
///
/// A coordinator that takes a group over begins the sessions of its members anew, also of those that were killed: with less
/// than a session between two moves their partitions would stand still until the moves end.
async fn move_coordinators(cluster: &Cluster, end: Instant) -> Result<usize, Failed> {
    let (mut random, mut moves) = (Random::new("coordinators"), 0);
    let mut pause = random.between(500, 14_000);
    loop {
        sleep(Duration::from_millis(pause)).await;
        if Instant::now() >= end {
            return Ok(moves);
        }
        let admin = cluster.admin();
        let moved = spawn_blocking(move || admin.move_leaders("__consumer_offsets")).await?;
        pause = match moved {
            Ok(moved @ 1..) => {
                moves += moved;
                random.between(500, 14_000)
            }
            none => {
                println!("no coordinator moves: {none:?}");
                500
            }
        };
    }
}

/// Three consumers in processes of their own. All write to one file what they run.
struct Fleet {
    setups: Vec<Setup>,
    processes: Vec<Process>,
    file: PathBuf,
}

impl Fleet {
    /// Two of them have names, with which they come back at once.
    fn start(url: &str, store: Option<&str>) -> Result<Self, Failed> {
        let file = format!("soak-{}.log", std::process::id());
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
        println!("the consumers write to {}", file.display());
        let setups = ["first", "second", ""];
        let setups = setups.map(|name| {
            let setup = Setup::new(url).with_instance(name).with_output(&file);
            match store {
                Some(store) => setup.with_store(store),
                None => setup,
            }
        });
        let processes: Result<_, _> = setups.iter().map(Setup::start).collect();
        Ok(Self {
            setups: setups.into(),
            processes: processes?,
            file,
        })
    }

    /// Kills some of them, and again, once all that was there has arrived: what is there at three kills counts as the one
    /// who does it.
    async fn kill_at_random(&mut self, runs: &Runs, end: Instant) -> Result<usize, Failed> {
        let (mut random, mut kills, mut arrived) = (Random::new("consumers"), 0, 0);
        loop {
            sleep(Duration::from_millis(random.between(500, 3000))).await;
            if Instant::now() >= end {
                return Ok(kills);
            }
            let chosen = random.between(1, 8);
            let victims: Vec<_> = (0..3).filter(|n| chosen & (1 << n) != 0).collect();
            for n in &victims {
                let has_ended = self.processes[*n].has_ended()?;
                expect(!has_ended, || format!("consumer {n} has ended by itself"))?;
                self.processes[*n].kill()?;
            }
            let killed = Instant::now();
            kills += victims.len();
            let launched = runs.lock().unwrap()[arrived..].to_vec();
            for n in &victims {
                sleep(Duration::from_millis(random.between(0, 500))).await;
                self.processes[*n] = self.setups[*n].start()?;
            }
            all_arrive(&launched, RECOVERY).await?;
            arrived += launched.len();
            println!(
                "consumers {victims:?} were killed, {arrived} operations ended {:?} later",
                killed.elapsed()
            );
        }
    }

    /// Stops all, and reads what they ran.
    async fn stop(mut self) -> Result<Log<usize>, Failed> {
        for process in &mut self.processes {
            let status = process.stop().await?;
            expect(status.success(), || {
                format!("a consumer ends with {status}")
            })?;
        }
        let text = std::fs::read_to_string(&self.file)?;
        let mut log = Log::default();
        // A process that is killed while it writes leaves half a line, and another writes behind that.
        let ran = text.lines().filter_map(|line| line.rsplit_once("ran "));
        log.add(ran.map(|(_, text)| text.to_owned()).enumerate());
        std::fs::remove_file(&self.file)?;
        Ok(log)
    }
}
