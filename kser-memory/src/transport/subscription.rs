use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use kser_core::{
    Clock, Delivery, EndedDelivery, Error, HandIn, Health, Interest, Leave, Origin, Record, Room,
    Settle, Subscription, Ticket, Timestamp,
};

use super::broker::Broker;
use super::in_flight::TicketParts;
use super::receiving::Receiving;
use super::state::{Member, State};
use crate::MemoryClock;

/// A member of a group, or an observer.
#[derive(Debug)]
pub(super) struct MemorySubscription {
    seat: Arc<Seat>,
    /// The topic that comes first in the next receive, modulo their number.
    turn: usize,
    group: Option<String>,
}

/// The number of a member at its broker, which its tickets share.
#[derive(Debug)]
struct Seat {
    broker: Arc<Broker>,
    member: usize,
    /// The deliveries that are handed in and wait for the lock of the broker, in order.
    outbox: Mutex<Vec<EndedDelivery>>,
}

/// The time at which a member that found no record should look again without a wake-up.
type Until = Option<Timestamp>;

impl MemorySubscription {
    pub(super) fn join(broker: &Arc<Broker>, interest: Interest) -> Self {
        let group = interest.group.clone();
        let member = broker.with(|state, deferred| state.join(interest, deferred));
        let broker = Arc::clone(broker);
        Self {
            seat: Arc::new(Seat {
                broker,
                member,
                outbox: Mutex::default(),
            }),
            turn: 0,
            group,
        }
    }

    /// Takes ready records, or parks the member. `was_parked` says whether it was parked already.
    pub(super) fn take_or_park(
        &mut self,
        room: Room,
        waker: &Waker,
        was_parked: bool,
    ) -> Result<Result<Vec<Delivery>, Until>, Error> {
        let now = MemoryClock.now();
        let seat = &self.seat;
        self.turn = self.turn.wrapping_add(1);
        seat.broker.with(|state, deferred| {
            let deliveries = seat.take(state, room, self.turn, now)?;
            if deliveries.is_empty() {
                return Ok(Err(state.park(seat.member, waker)));
            }
            // A member that was not parked got no wake-up that it would have to pass on.
            if was_parked {
                state.unpark(seat.member, deferred);
            }
            Ok(Ok(deliveries))
        })
    }

    /// Unparks the member.
    pub(super) fn unpark(&self) {
        let seat = &self.seat;
        seat.broker
            .with(|state, deferred| state.unpark(seat.member, deferred));
    }
}

#[async_trait]
impl Subscription for MemorySubscription {
    async fn receive(&mut self, room: Room) -> Result<Vec<Delivery>, Error> {
        // Lets other tasks run now and then while records are always ready.
        tokio::task::coop::consume_budget().await;
        Receiving::new(self, room).await
    }

    fn health(&self) -> Health {
        let now = MemoryClock.now();
        let seat = &self.seat;
        let mut health = Health::default();
        health.group.clone_from(&self.group);
        let (mut lag, mut oldest) = (0, None);
        seat.broker.with(|state, _| {
            let member = state.members.get(seat.member);
            for number in member.into_iter().flat_map(|member| &member.groups) {
                if let Some(group) = state.groups.get(*number) {
                    health.assigned.push((group.topic.clone(), 0));
                    lag += group.waiting();
                    oldest = oldest.into_iter().chain(group.oldest()).min();
                }
            }
        });
        health.lag = Some(lag);
        let oldest = oldest.map(|published| now.since(published));
        // A delayed record has not waited yet.
        health.oldest_waiting = oldest.or_else(|| (lag > 0).then_some(Duration::ZERO));
        health
    }

    fn leaver(&self) -> Option<Arc<dyn Leave>> {
        let leaver: Arc<dyn Leave> = Arc::<Seat>::clone(&self.seat);
        Some(leaver)
    }

    async fn close(self: Box<Self>) -> Result<(), Error> {
        // Dropping the subscription leaves the group, without any delivery.
        poll_fn(|cx| self.seat.poll_free(cx.waker())).await;
        Ok(())
    }
}

impl Drop for MemorySubscription {
    fn drop(&mut self) {
        let seat = &self.seat;
        seat.broker.with(|state, deferred| {
            state.leave(seat.member, true, deferred);
            state.members.try_remove(seat.member);
        });
    }
}

impl Seat {
    fn take(
        self: &Arc<Self>,
        state: &mut State,
        room: Room,
        turn: usize,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, Error> {
        let member = state.members.get(self.member).ok_or(Error::Closed)?;
        if member.superseded {
            return Err(superseded(member));
        }
        let (groups, revoked) = (member.groups.len(), member.revoked.clone());
        let records = room.records.max(1);
        let mut deliveries = Vec::new();
        let mut bytes = 0_usize;
        for place in 0..groups {
            let member = state.members.get(self.member).ok_or(Error::Closed)?;
            let number = member.groups[turn.wrapping_add(place) % groups];
            if let Some(group) = state.groups.get_mut(number) {
                group.admit_due(now, records);
                deliveries.reserve(group.ready_up_to(records - deliveries.len()));
            }
            while deliveries.len() < records && (bytes < room.bytes || deliveries.is_empty()) {
                let taken = state.take(number, self.member, |topic, entry, ticket| {
                    let hand_in: Arc<dyn HandIn> = Arc::<Self>::clone(self);
                    let origin = Origin {
                        partition: 0,
                        offset: entry.offset,
                    };
                    Delivery::revocable(
                        entry.record(topic),
                        origin,
                        Ticket::with_hand_in(ticket, hand_in),
                        revoked.clone(),
                    )
                    .with_crash_count(entry.crash_count())
                    .with_failed(entry.failed())
                    .with_waited(Some(now.since(entry.published)))
                });
                let Some(delivery) = taken else {
                    break;
                };
                bytes = bytes.saturating_add(delivery.record.size());
                deliveries.push(delivery);
            }
        }
        Ok(deliveries)
    }

    /// Is ready when the member has no delivery.
    fn poll_free(&self, waker: &Waker) -> Poll<()> {
        self.broker
            .with(|state, _| match state.members.get_mut(self.member) {
                Some(member) if member.held > 0 => {
                    member.closing = Some(waker.clone());
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            })
    }
}

#[async_trait]
impl Leave for Seat {
    async fn leave(&self) -> Result<(), Error> {
        self.broker
            .with(|state, deferred| state.leave(self.member, false, deferred));
        Ok(())
    }
}

#[async_trait]
impl Settle for Seat {
    async fn settle(&self, ticket: u128, outputs: &[Record]) -> Result<(), Error> {
        for output in outputs {
            self.broker.fits(output)?;
        }
        let now = match outputs.is_empty() {
            true => Timestamp::default(),
            false => MemoryClock.now(),
        };
        let ticket = TicketParts::unpack(ticket);
        let settled = self
            .broker
            .with(|state, deferred| state.settle(ticket, outputs.to_vec(), now, deferred));
        match settled {
            Some(_) => Ok(()),
            None => Err(Error::Lost),
        }
    }

    async fn begin(&self, ticket: u128) -> Result<(), Error> {
        let ticket = TicketParts::unpack(ticket);
        let ours = self.broker.with(|state, _| {
            let group = state.groups.get_mut(ticket.group);
            group.is_some_and(|group| group.begin(ticket))
        });
        match ours {
            true => Ok(()),
            false => Err(Error::Lost),
        }
    }

    fn release(&self, ticket: u128, not_before: Option<Timestamp>, failed: u32) {
        let not_before = not_before.filter(|due| *due > MemoryClock.now());
        let ticket = TicketParts::unpack(ticket);
        self.broker
            .with(|state, deferred| state.release(ticket, not_before, failed, deferred));
    }
}

impl HandIn for Seat {
    /// The task that gets the lock settles the deliveries of all that wait for it.
    fn hand_in(&self, ended: EndedDelivery) -> Result<(), EndedDelivery> {
        if (ended.outputs().iter()).any(|output| self.broker.fits(output).is_err()) {
            return Err(ended);
        }
        self.outbox().push(ended);
        let now = MemoryClock.now();
        // Outside the closure: a delivery that is dropped is released, which takes the lock of the broker.
        let mut handed_in = Vec::new();
        let entries: Vec<_> = self.broker.with(|state, deferred| {
            handed_in = mem::take(&mut *self.outbox());
            let settles = handed_in.iter_mut().map(|ended| {
                let ticket = TicketParts::unpack(ended.id());
                state.settle(ticket, ended.take_outputs(), now, deferred)
            });
            settles.collect()
        });
        for (ended, entry) in handed_in.into_iter().zip(entries) {
            match entry {
                Some(_) => ended.report_settled(),
                None => ended.report_lost(),
            }
        }
        Ok(())
    }
}

impl Seat {
    fn outbox(&self) -> MutexGuard<'_, Vec<EndedDelivery>> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn superseded(member: &Member) -> Error {
    match &member.instance {
        Some(instance) => Error::Superseded {
            instance: instance.clone(),
        },
        None => Error::Closed,
    }
}
