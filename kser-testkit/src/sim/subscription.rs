use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kser_core::{
    Clock, Delivery, Error, Health, Interest, Leave, Origin, Room, Subscription, Ticket, Timestamp,
};

use super::broker::{MemberId, Spot};
use super::mark::Act;
use super::port::Port;
use super::settling::SimSettle;
use super::state::{Request, Verdict};

/// A member of a group, or an observer.
#[derive(Debug)]
pub(super) struct SimSubscription {
    port: Port,
    interest: Interest,
    member: MemberId,
    closed: bool,
}

/// Where a member is with the broker.
enum Seat {
    Has(Vec<Spot>),
    Nothing(Option<Timestamp>),
    Superseded,
    /// The broker has removed the member, since its session expired.
    Gone,
}

impl SimSubscription {
    pub(super) fn join(port: &Port, interest: Interest) -> Self {
        let mut subscription = Self {
            port: port.clone(),
            interest,
            member: MemberId(0),
            closed: false,
        };
        subscription.enter();
        subscription
    }

    fn enter(&mut self) {
        let interest = self.interest.clone();
        self.member = self.port.shared.change(|state, _| {
            let member = state.broker.join(interest);
            if let Some(life) = state.lives.get_mut(self.port.life) {
                life.members.push(member);
            }
            if self.interest.group.is_some() {
                let topics: Vec<&str> = self.interest.topics.iter().map(AsRef::as_ref).collect();
                self.port
                    .note(state, Act::Join, format!("joins {}", topics.join(", ")));
            }
            member
        });
    }

    fn seat(&self) -> Seat {
        let now = self.port.shared.clock().now();
        self.port.shared.with(|state| {
            state.broker.expire(now);
            match state.broker.member(self.member) {
                None => Seat::Gone,
                Some(member) if member.superseded => Seat::Superseded,
                Some(_) => match state.broker.offers(self.member, now).collect::<Vec<_>>() {
                    spots if spots.is_empty() => Seat::Nothing(state.broker.next_due(now)),
                    spots => Seat::Has(spots),
                },
            }
        })
    }

    fn superseded(&self) -> Error {
        Error::Superseded {
            instance: self.interest.instance.clone().unwrap_or_default(),
        }
    }

    fn take(&self, spot: &Spot) -> Option<Delivery> {
        let port = &self.port;
        port.shared.change(|state, _| {
            let given = state.broker.give(self.member, spot)?;
            state.delivered(port, spot, &given);
            let settle = SimSettle::new(port.clone(), given.label, self.interest.group.is_none());
            let origin = Origin {
                partition: i32::try_from(spot.partition).unwrap_or(i32::MAX),
                offset: i64::try_from(spot.offset).unwrap_or(i64::MAX),
            };
            let ticket = Ticket::with_hand_in(u128::from(given.serial), Arc::new(settle));
            let record = state.broker.setup.envelopes.seal(given.record);
            let delivery = Delivery::revocable(record, origin, ticket, given.revoked);
            let delivery = delivery.with_crash_count(given.crash_count);
            Some(delivery.with_failed(given.failed))
        })
    }

    /// Receives as the simulation says, one record at a time.
    async fn receive_driven(&mut self) -> Result<Vec<Delivery>, Error> {
        loop {
            match self.port.gate(Request::Receive(self.member)).await {
                Verdict::Give { spot, die } => {
                    let taken = self.take(&spot);
                    if die {
                        return self.port.die().await;
                    }
                    if let Some(delivery) = taken {
                        return Ok(vec![delivery]);
                    }
                }
                _ => match self.seat() {
                    Seat::Superseded => return Err(self.superseded()),
                    Seat::Gone => self.enter(),
                    Seat::Has(_) | Seat::Nothing(_) => {}
                },
            }
        }
    }

    /// Receives the waiting records that fit the room, where there is no driver.
    async fn receive_alone(&mut self, room: Room) -> Result<Vec<Delivery>, Error> {
        let shared = self.port.shared.clone();
        loop {
            let changed = shared.changes().notified();
            let until = match self.seat() {
                Seat::Has(spots) => return Ok(self.fill(spots, room)),
                Seat::Superseded => return Err(self.superseded()),
                Seat::Gone => {
                    self.enter();
                    continue;
                }
                Seat::Nothing(until) => until,
            };
            let later = async {
                match until {
                    Some(until) => tokio::time::sleep_until(shared.clock().instant(until)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = changed => {}
                () = later => {}
            }
        }
    }

    fn fill(&self, first: Vec<Spot>, room: Room) -> Vec<Delivery> {
        let (mut deliveries, mut bytes) = (Vec::new(), 0_usize);
        let mut spots = first;
        while let Some(spot) = spots.first() {
            let Some(delivery) = self.take(spot) else {
                break;
            };
            bytes = bytes.saturating_add(delivery.record.size());
            deliveries.push(delivery);
            if deliveries.len() >= room.records || bytes >= room.bytes {
                break;
            }
            spots = match self.seat() {
                Seat::Has(spots) => spots,
                _ => Vec::new(),
            };
        }
        deliveries
    }
}

#[async_trait]
impl Subscription for SimSubscription {
    async fn receive(&mut self, room: Room) -> Result<Vec<Delivery>, Error> {
        match self.port.shared.is_driven() {
            true => self.receive_driven().await,
            false => self.receive_alone(room).await,
        }
    }

    fn health(&self) -> Health {
        let now = self.port.shared.clock().now();
        let (assigned, oldest) = self.port.shared.with(|state| {
            let oldest = state.broker.oldest_waiting(self.member, now);
            (state.broker.assigned(self.member), oldest)
        });
        let mut health = Health::default();
        let waiting: usize = assigned.iter().map(|(_, _, waiting)| waiting).sum();
        health.lag = u64::try_from(waiting).ok();
        health.oldest_waiting = oldest.or_else(|| (waiting > 0).then_some(Duration::ZERO));
        let parts = assigned.into_iter();
        let part = |number| i32::try_from(number).unwrap_or(i32::MAX);
        health.assigned = parts
            .map(|(topic, number, _)| (topic, part(number)))
            .collect();
        health
    }

    fn leaver(&self) -> Option<Arc<dyn Leave>> {
        None
    }

    async fn close(mut self: Box<Self>) -> Result<(), Error> {
        let shared = self.port.shared.clone();
        match shared.is_driven() {
            true => {
                if self.port.gate(Request::Leave(self.member)).await == Verdict::GoAndDie {
                    return self.port.die().await;
                }
            }
            false => loop {
                let changed = shared.changes().notified();
                if !shared.with(|state| state.broker.holds(self.member)) {
                    break;
                }
                changed.await;
            },
        }
        self.closed = true;
        shared.change(|state, _| {
            state.broker.leave(self.member);
            self.port.note(state, Act::Leave, "leaves");
        });
        Ok(())
    }
}

impl Drop for SimSubscription {
    fn drop(&mut self) {
        // The broker hears nothing of a process that died.
        if !self.closed && self.port.is_alive() {
            let shared = &self.port.shared;
            shared.change(|state, now| {
                state.sites.part();
                state.broker.vanish(self.member, now);
            });
        }
    }
}
