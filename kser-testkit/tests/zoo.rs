//! The suites can fail: each broken backend is caught by the rule that it breaks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use async_trait::async_trait;
use kser_core::sequencing::{Owner, PlannedStep, Progress};
use kser_core::store::{
    Attempt, Inserted, NewRun, Output, OutputId, RunFilter, RunInfo, Swapped, Timed, Write,
};
use kser_core::{
    Delivery, Description, Error, Health, Instance, Interest, NotPublished, Record, Room, RunId,
    Settle, StateStore, StoreId, Subscription, Ticket, Timestamp, Topic, TopicSpec, Transport,
};
use kser_memory::{MemoryStore, MemoryTransport};
use kser_testkit::{StoreHarness, TransportHarness, run_paused, store, transport};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Flaw {
    LosesRecords,
    PublishesTwice,
    DropsAbsentHeaders,
    ForgetsDelays,
    ReversesBatches,
    SettlesWithoutOutputs,
    ReleasesForGood,
    IgnoresRoom,
    CloseDoesNotWait,
    SettlesForOthers,
    CountsNoCrashes,
}

#[derive(Debug)]
struct Broken(MemoryTransport, Flaw);

impl Broken {
    fn spoil(&self, mut records: Vec<Record>) -> Vec<Record> {
        match self.1 {
            Flaw::LosesRecords => records.truncate(records.len() / 2),
            Flaw::PublishesTwice => records.extend(records.clone()),
            Flaw::ReversesBatches => records.reverse(),
            Flaw::DropsAbsentHeaders => {
                for record in &mut records {
                    record.headers.retain(|(_, value)| value.is_some());
                }
            }
            Flaw::ForgetsDelays => records
                .iter_mut()
                .for_each(|record| record.not_before = None),
            _ => {}
        }
        records
    }
}

#[async_trait]
impl Transport for Broken {
    async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished> {
        self.0.publish(self.spoil(records)).await
    }

    async fn subscribe(&self, interest: Interest) -> Result<Box<dyn Subscription>, Error> {
        let inner = self.0.subscribe(interest).await?;
        Ok(Box::new(Member(Some(inner), self.1)))
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        self.0.ensure_topics(topics).await
    }

    async fn describe(&self, topics: &[Topic]) -> Result<Description, Error> {
        self.0.describe(topics).await
    }
}

#[derive(Debug)]
struct Member(Option<Box<dyn Subscription>>, Flaw);

#[async_trait]
impl Subscription for Member {
    async fn receive(&mut self, room: Room) -> Result<Vec<Delivery>, Error> {
        let room = match self.1 {
            Flaw::IgnoresRoom => Room::records(1000),
            _ => room,
        };
        let inner = self.0.as_mut().expect("it is open");
        let received = inner.receive(room).await?;
        let flaw = self.1;
        let spoil = |mut delivery: Delivery| {
            let settle: Arc<dyn Settle> = Arc::new(Spoiled(delivery.ticket.into(), flaw));
            delivery.ticket = Ticket::new(0, settle);
            if flaw == Flaw::CountsNoCrashes {
                delivery.unreported = 0;
            }
            delivery
        };
        Ok(received.into_iter().map(spoil).collect())
    }

    fn health(&self) -> Health {
        Health::default()
    }

    async fn close(mut self: Box<Self>) -> Result<(), Error> {
        match (self.0.take(), self.1) {
            (Some(inner), Flaw::CloseDoesNotWait) => drop(inner),
            (Some(inner), _) => inner.close().await?,
            (None, _) => {}
        }
        Ok(())
    }
}

/// A ticket of the inner transport, behind one of ours.
#[derive(Debug)]
struct Spoiled(Held, Flaw);

#[derive(Debug)]
struct Held(std::sync::Mutex<Option<Ticket>>);

impl From<Ticket> for Held {
    fn from(ticket: Ticket) -> Self {
        Self(std::sync::Mutex::new(Some(ticket)))
    }
}

impl Held {
    fn take(&self) -> Option<Ticket> {
        self.0.lock().expect("nobody panics with it").take()
    }
}

#[async_trait]
impl Settle for Spoiled {
    async fn settle(&self, _: u128, outputs: Vec<Record>) -> Result<(), Error> {
        let outputs = match self.1 {
            Flaw::SettlesWithoutOutputs => Vec::new(),
            _ => outputs,
        };
        let ticket = self.0.take().ok_or(Error::Lost)?;
        match ticket.settle(outputs).await {
            Ok(settled) if settled.is_lost() && self.1 != Flaw::SettlesForOthers => {
                Err(Error::Lost)
            }
            Ok(_) => Ok(()),
            Err(failed) => {
                *self.0.0.lock().expect("nobody panics with it") = Some(failed.ticket);
                Err(failed.source)
            }
        }
    }

    async fn begin(&self, _: u128) -> Result<(), Error> {
        let ticket = self.0.take().ok_or(Error::Lost)?;
        let begun = ticket.begin().await;
        *self.0.0.lock().expect("nobody panics with it") = Some(ticket);
        begun
    }

    fn release(&self, _: u128, not_before: Option<Timestamp>) {
        match self.1 {
            Flaw::ReleasesForGood => std::mem::forget(self.0.take()),
            _ => drop(self.0.take().map(|ticket| ticket.release(not_before))),
        }
    }
}

/// Says whether a rule notices.
fn notices(rule: impl Future<Output = ()>) -> bool {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let caught = catch_unwind(AssertUnwindSafe(|| run_paused(rule))).is_err();
    std::panic::set_hook(quiet);
    caught
}

#[test]
fn each_broken_backend_is_caught_by_the_rule_that_it_breaks() {
    macro_rules! transports {
        ($($flaw:ident => $section:ident::$rule:ident),* $(,)?) => {
            $(assert!(
                notices(async {
                    let broken = Broken(MemoryTransport::new(), Flaw::$flaw);
                    transport::$section::$rule(&TransportHarness::new(broken)).await;
                }),
                concat!(stringify!($rule), " does not notice ", stringify!($flaw)),
            );)*
        };
    }
    transports! {
        LosesRecords => delivery::delivers_to_one_member_of_each_group,
        PublishesTwice => groups::members_of_a_group_share_the_records,
        DropsAbsentHeaders => delivery::keeps_absent_apart_from_empty,
        ForgetsDelays => delay::delays_a_record_until_its_time,
        ReversesBatches => delivery::delivers_what_was_published_before_the_first_group_joined,
        SettlesWithoutOutputs => settling::publishes_the_outputs_of_a_settle,
        ReleasesForGood => redelivery::a_released_delivery_comes_again,
        IgnoresRoom => limits::returns_no_more_records_than_were_asked_for,
        CloseDoesNotWait => closing::a_close_waits_for_what_is_held,
        SettlesForOthers => settling::a_settle_of_someone_elses_delivery_publishes_nothing,
        CountsNoCrashes => redelivery::what_a_dropped_member_held_is_delivered_and_counted,
    }
    macro_rules! stores {
        ($($slip:ident => $section:ident::$rule:ident),* $(,)?) => {
            $(assert!(
                notices(async {
                    let broken = Sloppy(MemoryStore::new(), Slip::$slip);
                    store::$section::$rule(&StoreHarness::new(broken)).await;
                }),
                concat!(stringify!($rule), " does not notice ", stringify!($slip)),
            );)*
        };
    }
    stores! {
        ComparesNoVersion => swapping::of_many_swaps_one_writes,
        SaysNewTwice => inserting::a_run_is_inserted_once,
        ForgetsAttempts => history::attempts_come_in_order_byte_for_byte,
        ForgetsOutputs => outputs::an_output_is_due_once_its_writer_had_its_time,
        KeepsRelayed => outputs::a_relayed_output_never_comes_back,
        DueTheLatestFirst => due::the_earliest_is_first_and_the_limit_holds,
        NeverWakes => waking::returns_at_once_when_it_has_changed,
        PurgesTheLiving => purging::only_a_run_that_has_ended_is_purged,
        ForgetsLives => instances::each_life_of_an_instance_is_larger,
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Slip {
    ComparesNoVersion,
    SaysNewTwice,
    ForgetsAttempts,
    ForgetsOutputs,
    KeepsRelayed,
    DueTheLatestFirst,
    NeverWakes,
    PurgesTheLiving,
    ForgetsLives,
}

#[derive(Debug)]
struct Sloppy(MemoryStore, Slip);

#[async_trait]
impl StateStore for Sloppy {
    async fn id(&self) -> Result<StoreId, Error> {
        self.0.id().await
    }

    async fn register(&self, instance: &Instance) -> Result<Timed<Owner>, Error> {
        let mut registered = self.0.register(instance).await?;
        if self.1 == Slip::ForgetsLives {
            registered.value.incarnation = 1;
        }
        Ok(registered)
    }

    async fn insert(&self, run: NewRun) -> Result<Timed<Inserted>, Error> {
        let mut inserted = self.0.insert(run).await?;
        if self.1 == Slip::SaysNewTwice {
            inserted.value = Inserted::New;
        }
        Ok(inserted)
    }

    async fn read(&self, id: &RunId) -> Result<Timed<Option<Progress>>, Error> {
        self.0.read(id).await
    }

    async fn swap(
        &self,
        id: &RunId,
        expected: u64,
        mut write: Write,
    ) -> Result<Timed<Swapped>, Error> {
        let stored = self.0.read(id).await?.value;
        let expected = match self.1 {
            Slip::ComparesNoVersion => stored.map_or(expected, |stored| stored.version()),
            _ => expected,
        };
        match self.1 {
            Slip::ForgetsAttempts => write.attempt = None,
            Slip::ForgetsOutputs => write.outputs.clear(),
            _ => {}
        }
        self.0.swap(id, expected, write).await
    }

    async fn step(&self, id: &RunId, position: u32) -> Result<Option<PlannedStep>, Error> {
        self.0.step(id, position).await
    }

    async fn due(&self, limit: usize) -> Result<Timed<Vec<RunId>>, Error> {
        let mut due = self.0.due(limit).await?;
        if self.1 == Slip::DueTheLatestFirst {
            due.value.reverse();
        }
        Ok(due)
    }

    async fn outputs_due(&self, limit: usize) -> Result<Timed<Vec<Output>>, Error> {
        self.0.outputs_due(limit).await
    }

    async fn relayed(&self, outputs: &[OutputId]) -> Result<(), Error> {
        match self.1 {
            Slip::KeepsRelayed => Ok(()),
            _ => self.0.relayed(outputs).await,
        }
    }

    async fn changed(&self, id: &RunId, version: u64) -> Result<(), Error> {
        match self.1 {
            Slip::NeverWakes => std::future::pending().await,
            _ => self.0.changed(id, version).await,
        }
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunInfo>, Error> {
        self.0.run(id).await
    }

    async fn attempts(&self, id: &RunId, skip: usize, limit: usize) -> Result<Vec<Attempt>, Error> {
        self.0.attempts(id, skip, limit).await
    }

    async fn list(&self, filter: &RunFilter) -> Result<Vec<RunInfo>, Error> {
        self.0.list(filter).await
    }

    async fn purge(&self, id: &RunId) -> Result<bool, Error> {
        match self.1 {
            Slip::PurgesTheLiving => Ok(true),
            _ => self.0.purge(id).await,
        }
    }
}
