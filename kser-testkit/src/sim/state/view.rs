use std::collections::BTreeMap;
use std::time::Duration;

use kser_core::store::OutputId;
use kser_core::{Name, Record, RunId, TaskId, Timestamp, Topic};

use super::super::Guarantee;
use super::super::broker::{Broker, MemberId, Published, Spot};
use super::super::facts::Facts;
use super::super::labels::Labels;
use super::super::sites::Sites;
use super::{Life, Limits, Outage, Parked, Request, State};

/// A read-only view of a simulated run, for the invariants: its broker, its processes, its faults, its labels and its time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunView<'s> {
    broker: &'s Broker,
    labels: &'s Labels,
    sites: &'s Sites,
    parked: &'s BTreeMap<u64, Parked>,
    lives: &'s [Life],
    outputs: &'s BTreeMap<OutputId, Record>,
    outage: Option<Outage>,
    now: Duration,
}

impl State {
    /// Splits the state into the facts, to which the invariants add, and the view that they read.
    pub(crate) fn observe(&mut self) -> (&mut Facts, RunView<'_>) {
        let view = RunView {
            broker: &self.broker,
            labels: &self.labels,
            sites: &self.sites,
            parked: &self.parked,
            lives: &self.lives,
            outputs: &self.outputs,
            outage: self.outage,
            now: self.now,
        };
        (&mut self.facts, view)
    }
}

impl<'s> RunView<'s> {
    /// Returns the time since the beginning of the run.
    pub(crate) const fn now(&self) -> Duration {
        self.now
    }

    pub(crate) const fn guarantee(&self) -> Guarantee {
        self.broker.setup.guarantee
    }

    /// Says whether steps are accepted once in this run: not where the setup promises less, nor, without a store, where the
    /// simulation published a record twice.
    pub(crate) const fn is_exact(&self) -> bool {
        match self.guarantee() {
            Guarantee::Stored => true,
            Guarantee::ExactlyOnce => self.broker.repeated() == 0,
            Guarantee::AtLeastOnce => false,
        }
    }

    /// Says whether a fault has happened.
    pub(crate) fn has_faults(&self) -> bool {
        !self.sites.fired().is_empty()
    }

    /// Says whether the broker or the store is out.
    pub(crate) const fn has_outage(&self) -> bool {
        self.outage.is_some()
    }

    /// Counts the outputs that the store keeps and that are not relayed.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs.len()
    }

    pub(crate) fn step_label(&self, run: &RunId, position: u32) -> String {
        self.labels.step(run, position)
    }

    pub(crate) fn task_label(&self, task: &TaskId) -> String {
        self.labels.known_task(task)
    }

    /// Returns the entrypoint of a step, once it is known.
    pub(crate) fn entrypoint(&self, run: &RunId, position: u32) -> Option<&'s Name> {
        self.labels.entrypoint(run, position)
    }

    /// Returns the name of a process in one of its lives.
    pub(crate) fn process(&self, life: usize) -> Option<&'s str> {
        self.lives.get(life).map(|life| &*life.name)
    }

    /// Returns the largest numbers of handlers and records of a consumer; `None` for a client.
    pub(crate) fn limits(&self, life: usize) -> Option<Limits> {
        self.lives.get(life)?.limits
    }

    /// Counts the handlers that a process runs.
    pub(crate) fn running(&self, life: usize) -> usize {
        self.lives.get(life).map_or(0, |life| life.running)
    }

    /// Counts the deliveries that a process has handed in, and whose results it has not got.
    pub(crate) fn handed_in(&self, life: usize) -> usize {
        let life = self.lives.get(life);
        life.map_or(0, |life| life.outbox.unreported)
    }

    /// Lists the records that a process holds.
    pub(crate) fn held(&self, life: usize) -> Vec<&'s Published> {
        let life = self.lives.get(life);
        life.map(|life| self.broker.held_by(&life.members))
            .unwrap_or_default()
    }

    /// Lists the members of consumers that have a free place and do not call `receive`.
    pub(crate) fn idle_members(&self) -> Vec<MemberId> {
        let parked = self.parked.values();
        let receiving = parked.filter_map(|parked| match parked.request {
            Request::Receive(member) => Some(member),
            _ => None,
        });
        let receiving: Vec<MemberId> = receiving.collect();
        let lives = self.lives.iter().filter(|life| {
            let free = life
                .limits
                .is_some_and(|limits| life.running < limits.running);
            life.alive && life.frozen.is_none() && free
        });
        let members = lives.flat_map(|life| &life.members);
        members
            .filter(|member| !receiving.contains(member))
            .copied()
            .collect()
    }

    /// Lists the records that a member can run now: the first in each of its partitions that no record of its key precedes.
    pub(crate) fn runnable(&self, member: MemberId, now: Timestamp) -> Vec<Spot> {
        self.broker.healthy(member, now)
    }

    pub(crate) fn published(&self, spot: &Spot) -> Option<&'s Published> {
        self.broker.published(spot)
    }

    /// Returns the record of a delivery that its member still owns.
    pub(crate) fn delivered(&self, serial: u64) -> Option<Published> {
        self.broker.published_of(serial)
    }

    /// Lists all records that were ever published.
    pub(crate) fn records(&self) -> impl Iterator<Item = &'s Published> {
        self.broker.all()
    }

    /// Returns the number that the next published record gets: it counts all.
    pub(crate) const fn next_number(&self) -> u64 {
        self.broker.next_number()
    }

    /// Counts the records that some group has not settled.
    pub(crate) fn unsettled(&self) -> usize {
        self.broker.unsettled()
    }

    /// Lists the records that some group has not settled.
    pub(crate) fn waiting(&self) -> Vec<&'s Published> {
        self.broker.waiting()
    }

    /// Lists the records that still have to be processed.
    pub(crate) fn in_flight(&self) -> impl Iterator<Item = &'s Published> {
        self.broker.in_flight()
    }

    /// Says whether a group reads a topic.
    pub(crate) fn is_read(&self, topic: &Topic) -> bool {
        self.broker.is_read(topic)
    }

    /// Counts the deliveries that members had to give up to other members.
    pub(crate) fn taken_back(&self) -> usize {
        self.broker.taken_back()
    }

    /// Returns the generation of the groups, which grows with each rebalance.
    pub(crate) fn generation(&self) -> u64 {
        self.broker.generation()
    }
}
