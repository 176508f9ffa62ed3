mod carry_out;
mod choices;

use std::time::Duration;

use kser_core::Clock;
use tokio::time::{Instant, sleep_until};

use super::facts::RunFacts;
use super::finished::End;
use super::mark::Act;
use super::process::{Host, Process};
use super::spec::{ClientSpec, ConsumerSpec, Wrap};
use super::world::World;
use crate::choices::DecisionTape;
use crate::invariants;

/// The number of calls within an hour after which a run counts as endless.
const MOST_STEPS: usize = 20_000;

/// The time in which calls are counted, in the time of the simulation.
const HOUR: Duration = Duration::from_secs(3600);

/// Drives the processes of a run, one call at a time, and injects the planned faults.
pub(crate) struct Driver {
    pub(crate) place: Host,
    consumers: Vec<ConsumerSpec>,
    wrap: Wrap,
    clients: Vec<Option<ClientSpec>>,
    processes: Vec<Process>,
    /// How many lives of each consumer there were, and when the next begins.
    lives: Vec<(u32, Option<Instant>)>,
    pub(crate) tape: DecisionTape,
    /// The life of a process whose call was let through last.
    last: usize,
    pub(crate) limit: Instant,
    /// When a consumer that ended is started again; `None` for never.
    pub(crate) restart: Option<Duration>,
    pub(crate) steps: usize,
    /// The beginning of the hour in which calls are counted, and the number of calls before it.
    hour: (Instant, usize),
}

impl Driver {
    pub(crate) fn new(place: Host, world: World, tape: DecisionTape, limit: Duration) -> Self {
        let lives = vec![(0, Some(Instant::now())); world.consumers.len()];
        Self {
            place,
            consumers: world.consumers,
            wrap: world.wrap,
            clients: world.clients.into_iter().map(Some).collect(),
            processes: Vec::new(),
            lives,
            tape,
            last: usize::MAX,
            limit: Instant::now() + limit,
            restart: Some(world.setup.restart),
            steps: 0,
            hour: (Instant::now(), 0),
        }
    }

    /// Drives the run to its end.
    pub(crate) async fn drive(&mut self) -> End {
        loop {
            if let Some(end) = self.advance(self.limit).await {
                return end;
            }
        }
    }

    /// Lets one call through, or time pass until something may go on, `until` then at most. Returns how the run ended, if
    /// it has.
    pub(crate) async fn advance(&mut self, until: Instant) -> Option<End> {
        self.settle_down().await;
        if let Some(panicked) = self.reap().await {
            return Some(End::Panicked(panicked));
        }
        let now = self.place.shared.clock().now();
        let broken = self.place.shared.timed(|state| {
            state.heartbeat.beat();
            let (facts, view) = state.observe();
            invariants::check_conservation(facts, view);
            invariants::check_waiting(facts, view, now);
            !facts.broken.is_empty()
        });
        if broken {
            return Some(End::Broken);
        }
        let actions = self.actions();
        if actions.is_empty() {
            if self.is_done() {
                return Some(End::Done);
            }
            if Instant::now() >= self.limit {
                return Some(End::Late);
            }
            self.let_time_pass(until).await;
            return None;
        }
        if self.is_endless() {
            return Some(End::Endless);
        }
        let (decided, picked) = self.tape.pick(actions.len());
        if decided {
            let shared = &self.place.shared;
            shared.with(|state| state.heartbeat.decided(picked));
        }
        if let Some(action) = actions.into_iter().nth(picked) {
            self.carry_out(action);
        }
        None
    }

    /// Counts a call. Says whether too many were made within an hour.
    fn is_endless(&mut self) -> bool {
        let (began, before) = &mut self.hour;
        if began.elapsed() >= HOUR {
            (*began, *before) = (Instant::now(), self.steps);
        }
        self.steps += 1;
        self.steps - *before > MOST_STEPS
    }

    /// Waits until nothing can go on by itself.
    pub(crate) async fn settle_down(&mut self) {
        let idle = self.place.shared.idle().clone();
        idle.touch();
        idle.wait().await;
        self.bury();
    }

    /// Waits until something happens, or is due.
    pub(crate) async fn let_time_pass(&mut self, until: Instant) {
        let shared = &self.place.shared;
        let now = shared.clock().now();
        let due = shared.with(|state| state.broker.next_due(now));
        let due = due.map(|due| shared.clock().instant(due));
        let starts = self.lives.iter().filter_map(|(_, at)| *at);
        let begin = Instant::now() - shared.clock().elapsed();
        let ends = shared.with(|state| state.next_end()).map(|end| begin + end);
        let next = starts
            .chain(due)
            .chain(ends)
            .chain([self.limit, until])
            .min();
        tokio::select! {
            biased;
            () = shared.idle().wait() => {}
            () = sleep_until(next.unwrap_or(self.limit)) => {}
        }
    }

    fn start(&mut self, number: usize) {
        let Some((lives, at)) = self.lives.get_mut(number) else {
            return;
        };
        *lives += 1;
        *at = None;
        let life = *lives;
        if let Some(spec) = self.consumers.get(number) {
            let process = self.place.consumer(number, life, spec);
            let how = match life {
                1 => "starts",
                _ => "starts again",
            };
            self.place
                .shared
                .with(|state| state.note(&process.name(), Act::Start, how));
            self.processes.push(process);
        }
    }

    fn ask(&mut self, number: usize) {
        if let Some(spec) = self.clients.get_mut(number).and_then(Option::take) {
            self.processes
                .push(self.place.client(number, spec, &self.wrap));
        }
    }

    /// Ends the processes that are to die.
    fn bury(&mut self) {
        let dying = self
            .place
            .shared
            .with(|state| std::mem::take(&mut state.dying));
        for life in dying {
            self.crash(life);
        }
    }

    /// Crashes a process at once: it does not leave its groups, and the broker notices only when its session expires.
    pub(crate) fn crash(&mut self, life: usize) {
        let consumer = self
            .place
            .shared
            .change(|state, now| state.crash(life, now));
        if let Some(process) = self
            .processes
            .iter()
            .find(|process| process.port.life == life)
        {
            process.task.abort();
        }
        self.end_outbox(life);
        let restart = self.restart.map(|restart| Instant::now() + restart);
        if let Some((_, at)) = consumer.and_then(|number| self.lives.get_mut(number)) {
            *at = restart;
        }
    }

    /// Ends the process of a consumer by its name. Says whether it ran.
    pub(crate) fn crash_named(&mut self, name: &str) -> bool {
        let mut processes = self.processes.iter();
        let process = processes.find(|process| &*process.name() == name);
        let life = process.map(|process| process.port.life);
        life.map(|life| self.crash(life)).is_some()
    }

    /// Starts a consumer by its name. Says whether it was down.
    pub(crate) fn start_named(&mut self, name: &str) -> bool {
        let number = name
            .strip_prefix('c')
            .and_then(|number| number.parse::<usize>().ok());
        let number = number.and_then(|number| number.checked_sub(1));
        let runs = |process: &Process| &*process.name() == name && !process.task.is_finished();
        let alive = |process: &&Process| runs(process) && process.port.is_alive();
        let down = self.processes.iter().find(alive).is_none();
        match number.filter(|number| down && *number < self.consumers.len()) {
            Some(number) => {
                self.start(number);
                true
            }
            None => false,
        }
    }

    /// Removes the processes that have ended. Returns the panic of one of them, if one panicked.
    async fn reap(&mut self) -> Option<String> {
        let mut place = 0;
        while let Some(process) = self.processes.get_mut(place) {
            if !process.task.is_finished() {
                place += 1;
                continue;
            }
            let process = self.processes.swap_remove(place);
            let (name, life) = (process.name(), process.port.life);
            match process.task.await {
                Ok(ended) => self.ended(life, &name, ended),
                Err(error) if error.is_panic() => {
                    let panic = error.into_panic();
                    return Some(format!("{name} panicked: {}", super::panic_text(&*panic)));
                }
                Err(_) => {}
            }
        }
        None
    }

    /// A process that ended by itself: a consumer is started again, as by a supervisor.
    fn ended(&mut self, life: usize, name: &str, ended: Result<(), kser_core::Error>) {
        let how = match &ended {
            Ok(()) => "ends".to_owned(),
            Err(error) => format!("ends: {error}"),
        };
        let graceful = ended.is_ok();
        let consumer = self.place.shared.change(|state, now| {
            state.note(name, Act::End, how);
            if graceful {
                state.must_have_left(life, name);
            }
            state.gone(life, now)
        });
        self.end_outbox(life);
        let restart = self.restart.map(|restart| Instant::now() + restart);
        if let Some((_, at)) = consumer.and_then(|number| self.lives.get_mut(number)) {
            *at = restart;
        }
    }

    /// Drops the deliveries that a process had handed in.
    fn end_outbox(&self, life: usize) {
        let left = self.place.shared.with(|state| state.end_outbox(life));
        drop(left);
    }

    /// Says whether all that was asked for is done, and nothing is left over.
    fn is_done(&self) -> bool {
        let up = self.lives.iter().all(|(_, at)| at.is_none());
        let clients = self
            .processes
            .iter()
            .any(|process| process.port.is_client());
        if !up || clients {
            return false;
        }
        self.place.shared.with(|state| {
            let mut runs = state.facts.runs.values();
            let all = runs.all(RunFacts::is_over);
            all && state.broker.unsettled() == 0 && state.outputs.is_empty()
        })
    }

    /// Ends all processes, and counts the tasks that are left.
    pub(crate) async fn end(&mut self) -> usize {
        for process in self.processes.drain(..) {
            process.task.abort();
            let _ = process.task.await;
        }
        let left = self.place.shared.with(|state| state.end_outboxes());
        drop(left);
        // An aborted task ends when its turn to run comes.
        let idle = self.place.shared.idle();
        idle.touch_again();
        idle.wait().await;
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    }
}
