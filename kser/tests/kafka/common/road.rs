use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use kser::{Entrypoint, Outcome, Registry, Run, Status, Step};
use libtest_mimic::Failed;
use serde::{Deserialize, Serialize};

use super::lines::Lines;
use tokio::time::Instant;

macro_rules! entrypoint {
    ($name:ident, $path:literal, { $($field:ident: $type:ty),* $(,)? }) => {
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Entrypoint)]
        #[entrypoint($path)]
        pub(crate) struct $name { $(pub(crate) $field: $type),* }
    };
}

// An operation of three steps.
entrypoint!(Trip, "road.Trip", { trip: u32, ms: u64 });
entrypoint!(Leg, "road.Leg", { trip: u32, leg: u32, ms: u64 });
// A task that takes its time.
entrypoint!(Walk, "road.Walk", { name: String, ms: u64 });
// A task that never yields.
entrypoint!(Stuck, "road.Stuck", { name: String });
// A task that ends its process.
entrypoint!(Bomb, "road.Bomb", {});

pub(crate) const LEGS: u32 = 3;

/// What was done, and when.
#[derive(Debug, Clone, Default)]
pub(crate) struct Diary {
    lines: Lines,
    is_printed: bool,
}

impl Diary {
    /// One that is read by another process.
    pub(crate) fn printed() -> Self {
        Self {
            is_printed: true,
            ..Self::default()
        }
    }

    pub(crate) fn note(&self, word: &str, text: &str) {
        match self.is_printed {
            true => println!("{word} {text}"),
            false => self.lines.add(format!("{word} {text}")),
        }
    }
}

impl Deref for Diary {
    type Target = Lines;

    fn deref(&self) -> &Lines {
        &self.lines
    }
}

pub(crate) fn walk(name: impl Into<String>, ms: u64) -> Walk {
    let name = name.into();
    Walk { name, ms }
}

/// The tasks, which note when they begin (`ran`) and end (`done`).
pub(crate) fn registry(diary: Diary) -> Registry {
    let (of_legs, of_walks, of_bombs) = (diary.clone(), diary.clone(), diary.clone());
    let (of_stuck, of_trips) = (diary.clone(), diary);
    let leg = move |leg: Leg| {
        let diary = of_legs.clone();
        async move {
            let name = format!("{} {}", leg.trip, leg.leg);
            diary.note("ran", &name);
            tokio::time::sleep(Duration::from_millis(leg.ms)).await;
            Outcome::text(name)
        }
    };
    let walk = move |walk: Walk| {
        let diary = of_walks.clone();
        async move {
            diary.note("ran", &walk.name);
            tokio::time::sleep(Duration::from_millis(walk.ms)).await;
            diary.note("done", &walk.name);
        }
    };
    let stuck = move |stuck: Stuck| {
        let diary = of_stuck.clone();
        async move {
            diary.note("ran", &stuck.name);
            std::thread::sleep(Duration::from_secs(3600));
        }
    };
    let bomb = move |_: Bomb| {
        let diary = of_bombs.clone();
        async move {
            diary.note("ran", "bomb");
            std::process::abort();
            #[expect(unreachable_code, reason = "a task returns something")]
            ()
        }
    };
    let trip = move |Trip { trip, ms }: Trip| {
        of_trips.note("ran", &format!("{trip} 0"));
        let legs = (1..=LEGS).map(move |leg| Step::new(Leg { trip, leg, ms }));
        async move { Ok::<_, kser::TaskError>(legs.collect::<Vec<_>>()) }
    };
    let registry = Registry::new().task(leg).task(walk).task(bomb).task(stuck);
    registry.operation(trip).build().unwrap()
}

/// Waits until every run has ended well.
pub(crate) async fn all_arrive(runs: &[Run], limit: Duration) -> Result<(), Failed> {
    let until = Instant::now() + limit;
    let mut lost = Vec::new();
    for run in runs {
        let left = until.saturating_duration_since(Instant::now());
        match run.wait_timeout(left.max(Duration::from_millis(1))).await {
            Ok(state) if state.status == Status::Success => {}
            other => lost.push(format!("{}: {other:?}", run.id())),
        }
    }
    match lost.first() {
        None => Ok(()),
        Some(first) => Err(format!("{} of {} do not end: {first}", lost.len(), runs.len()).into()),
    }
}

/// What legs ran, from first to last: by trip and leg, when each began, or its place among all. The plan is made as leg 0.
#[derive(Debug)]
pub(crate) struct Log<At = Instant>(pub(crate) BTreeMap<(u32, u32), Vec<At>>);

impl<At> Default for Log<At> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<At: Ord> Log<At> {
    pub(crate) fn add(&mut self, said: impl IntoIterator<Item = (At, String)>) {
        for (at, text) in said {
            let mut numbers = text.split(' ').map_while(|number| number.parse().ok());
            if let (Some(trip), Some(leg)) = (numbers.next(), numbers.next()) {
                self.0.entry((trip, leg)).or_default().push(at);
            }
        }
    }

    pub(crate) fn runs(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Each trip went its legs in order, not counting what was done again.
    pub(crate) fn in_order(&self, trips: u32) -> Result<(), Failed> {
        for trip in 0..trips {
            let mut before = None;
            for leg in 0..=LEGS {
                let Some(first) = self.0.get(&(trip, leg)).and_then(|runs| runs.iter().min())
                else {
                    return Err(format!("leg {leg} of trip {trip} never ran").into());
                };
                if before.is_some_and(|before| before > first) {
                    return Err(format!("leg {leg} of trip {trip} came too early").into());
                }
                before = Some(first);
            }
        }
        Ok(())
    }
}

impl Log {
    /// What ran twice had begun shortly before a kill, or follows from what did.
    pub(crate) fn only_doubles_of(
        &self,
        kills: &[Instant],
        before: Duration,
    ) -> Result<usize, Failed> {
        let mut doubles = 0;
        for ((trip, leg), runs) in self.0.iter().filter(|(_, runs)| runs.len() > 1) {
            doubles += runs.len() - 1;
            let in_flight = runs[..runs.len() - 1].iter().all(|run| {
                let mut after = kills.iter().filter(|kill| *kill >= run);
                after.next().is_some_and(|kill| *kill - *run <= before)
            });
            let follows = (0..*leg).any(|earlier| {
                let earlier = self.0.get(&(*trip, earlier));
                earlier.is_some_and(|runs| runs.len() > 1)
            });
            if !in_flight && !follows {
                return Err(format!("leg {leg} of trip {trip} ran again for no reason").into());
            }
        }
        Ok(doubles)
    }
}
