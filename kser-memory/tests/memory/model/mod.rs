use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use kser_core::{
    Clock, Delivery, Interest, Record, Room, Subscription, Timestamp, Topic, Transport,
};
use kser_memory::{MemoryClock, MemoryTransport};

#[derive(Debug, Clone)]
pub(crate) enum Act {
    Publish {
        key: Option<u8>,
        delay: Option<u64>,
    },
    Receive {
        member: usize,
        room: usize,
    },
    Settle {
        which: proptest::sample::Index,
        output: bool,
    },
    Release {
        which: proptest::sample::Index,
        delay: Option<u64>,
    },
    Drop {
        member: usize,
    },
    Close {
        member: usize,
    },
    Pass(Duration),
}

/// What should be so of one record that is not settled.
#[derive(Debug)]
struct Expected {
    key: Option<u8>,
    delayed: bool,
    due: Timestamp,
    /// It was released until a time, and holds back its key.
    parked: bool,
    holder: Option<u32>,
    crash_count: u32,
}

/// The transport, and what is known of it from what was done.
#[derive(Debug, Default)]
pub(crate) struct Model {
    transport: MemoryTransport,
    members: [Option<(u32, Box<dyn Subscription>)>; 4],
    lives: u32,
    published: u32,
    settled: u32,
    unsettled: BTreeMap<u32, Expected>,
    /// Deliveries with who got them; also those that were lost since.
    held: Vec<(u32, Delivery)>,
}

impl Model {
    pub(crate) async fn act(&mut self, act: Act) {
        match act {
            Act::Publish { key, delay } => {
                let record = self.record(key, delay);
                self.transport.publish(vec![record]).await.unwrap();
            }
            Act::Receive { member, room } => {
                self.receive(member, room).await;
            }
            Act::Settle { which, output } => self.settle(which, output).await,
            Act::Release { which, delay } => self.release(which, delay),
            Act::Drop { member } => self.drop_member(member),
            Act::Close { member } => self.close(member),
            Act::Pass(time) => tokio::time::advance(time).await,
        }
    }

    /// Has the last member settle all that is left.
    pub(crate) async fn drain(&mut self) {
        (0..4).for_each(|member| self.drop_member(member));
        self.held.clear();
        tokio::time::advance(Duration::from_secs(60)).await;
        while !self.unsettled.is_empty() {
            assert!(self.receive(0, 3).await, "lost: {:?}", self.unsettled);
            while !self.held.is_empty() {
                self.settle_at(0, false).await;
            }
        }
        assert_eq!(self.settled, self.published);
        assert!(!self.receive(0, 3).await, "more than was published");
    }

    fn record(&mut self, key: Option<u8>, delay: Option<u64>) -> Record {
        self.published += 1;
        let due = MemoryClock::new().now() + Duration::from_millis(delay.unwrap_or_default());
        let expected = Expected {
            key,
            delayed: delay.is_some(),
            due,
            parked: false,
            holder: None,
            crash_count: 0,
        };
        self.unsettled.insert(self.published, expected);
        let payload = Bytes::copy_from_slice(&self.published.to_be_bytes());
        let mut record = Record::new(Topic::new("model").unwrap(), Some(payload));
        record.key = key.map(|key| Bytes::copy_from_slice(&[key]));
        record.with_not_before(delay.map(|_| due))
    }

    /// Receives once without waiting, and drops the future when nothing is there. Says whether something was.
    async fn receive(&mut self, member: usize, room: usize) -> bool {
        if self.members[member].is_none() {
            self.lives += 1;
            let interest = Interest::group("model", vec![Topic::new("model").unwrap()]);
            let joined = self.transport.subscribe(interest).await.unwrap();
            self.members[member] = Some((self.lives, joined));
        }
        let (life, subscription) = self.members[member].as_mut().unwrap();
        let life = *life;
        let mut cx = Context::from_waker(Waker::noop());
        let polled = pin!(subscription.receive(Room::records(room))).poll(&mut cx);
        let Poll::Ready(received) = polled else {
            let now = MemoryClock::new().now();
            let stuck = self.unsettled.values();
            let stuck = stuck.filter(|expected| self.is_deliverable(expected, now));
            assert_eq!(stuck.count(), 0, "not delivered: {:?}", self.unsettled);
            return false;
        };
        let received = received.unwrap();
        assert!((1..=room).contains(&received.len()));
        for delivery in received {
            self.check(life, &delivery);
            self.held.push((life, delivery));
        }
        true
    }

    fn is_deliverable(&self, expected: &Expected, now: Timestamp) -> bool {
        let same_key = |other: &&Expected| other.key.is_some() && other.key == expected.key;
        let mut same = self.unsettled.values().filter(same_key);
        let blocked = same.any(|other| other.holder.is_some() || (other.parked && other.due > now));
        expected.holder.is_none() && expected.due <= now && !blocked
    }

    fn check(&mut self, life: u32, delivery: &Delivery) {
        let id = id(delivery);
        let now = MemoryClock::new().now();
        let expected = self.unsettled.get(&id).expect("it is not settled");
        assert_eq!(expected.holder, None, "{id} is with two");
        assert!(expected.due <= now, "{id} comes too early");
        assert_eq!(delivery.crash_count, expected.crash_count, "{id}");
        let key = delivery.record.key.as_ref().map(|key| key[0]);
        assert_eq!(key, expected.key, "{id}");
        if key.is_some() {
            let same = self.unsettled.iter().filter(|(_, other)| other.key == key);
            for (other_id, other) in same.filter(|(other_id, _)| **other_id != id) {
                assert_eq!(other.holder, None, "{id} beside {other_id} of its key");
                let before = *other_id < id && !other.delayed && !expected.delayed;
                assert!(!before, "{id} before {other_id}");
                assert!(!(other.parked && other.due > now), "{id} past {other_id}");
            }
        }
        let expected = self.unsettled.get_mut(&id).unwrap();
        expected.holder = Some(life);
        expected.parked = false;
    }

    async fn settle(&mut self, which: proptest::sample::Index, output: bool) {
        if !self.held.is_empty() {
            self.settle_at(which.index(self.held.len()), output).await;
        }
    }

    async fn settle_at(&mut self, at: usize, output: bool) {
        let (life, delivery) = self.held.swap_remove(at);
        let id = id(&delivery);
        let expected = self.unsettled.get(&id);
        let ours = expected.is_some_and(|expected| expected.holder == Some(life));
        assert_eq!(delivery.revoked.is_cancelled(), !ours, "{id}");
        let outputs = match output && ours {
            true => vec![self.record(Some(0), None)],
            // One that must not come out: nobody expects it.
            false if !ours => vec![Record::new(Topic::new("model").unwrap(), None)],
            false => Vec::new(),
        };
        let settled = delivery.ticket.settle(outputs).await.unwrap();
        assert_eq!(settled.is_lost(), !ours, "{id}");
        if ours {
            self.settled += 1;
            self.unsettled.remove(&id);
        }
    }

    fn release(&mut self, which: proptest::sample::Index, delay: Option<u64>) {
        if self.held.is_empty() {
            return;
        }
        let (life, delivery) = self.held.swap_remove(which.index(self.held.len()));
        let due = MemoryClock::new().now() + Duration::from_millis(delay.unwrap_or_default());
        if let Some(expected) = self.unsettled.get_mut(&id(&delivery))
            && expected.holder == Some(life)
        {
            expected.holder = None;
            expected.parked = true;
            expected.due = due;
        }
        let _ = delivery.ticket.release(delay.map(|_| due));
    }

    fn drop_member(&mut self, member: usize) {
        let Some((life, subscription)) = self.members[member].take() else {
            return;
        };
        drop(subscription);
        let held = self.unsettled.values_mut();
        for expected in held.filter(|expected| expected.holder == Some(life)) {
            expected.holder = None;
            // From 2 on only what was begun counts, and nothing is begun here.
            expected.crash_count = (expected.crash_count + 1).min(2);
        }
    }

    /// Closes a member that holds nothing: one that does would wait.
    fn close(&mut self, member: usize) {
        let Some((life, subscription)) = self.members[member].take() else {
            return;
        };
        let mut held = self.unsettled.values();
        if held.any(|expected| expected.holder == Some(life)) {
            self.members[member] = Some((life, subscription));
            return;
        }
        let mut cx = Context::from_waker(Waker::noop());
        let closed = pin!(subscription.close()).poll(&mut cx);
        assert!(matches!(closed, Poll::Ready(Ok(()))));
    }
}

fn id(delivery: &Delivery) -> u32 {
    let payload = delivery.record.payload.as_deref().expect("a payload");
    u32::from_be_bytes(payload.try_into().unwrap())
}
