use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};

use bytes::Bytes;
use kser_core::{Delivery, Topic};

/// What runs one at a time: a topic, a partition of it, and a key. Records without a key have no lane and run freely.
pub(crate) type Lane = (Topic, i32, Bytes);

/// A delivery whose turn has come.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) lane: Option<Lane>,
    pub(crate) delivery: Delivery,
}

/// Deliveries in the order of their keys, and how much is held.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    /// Who waits behind the one whose turn it is. The hasher is fixed, so that a run can be repeated.
    busy: HashMap<Lane, VecDeque<Delivery>, BuildHasherDefault<DefaultHasher>>,
    /// Those whose turn has come and who have not begun.
    ready: VecDeque<Turn>,
    records: usize,
    bytes: usize,
}

impl Lanes {
    /// Counts the records that are held: running, waiting and parked.
    pub(crate) const fn records(&self) -> usize {
        self.records
    }

    /// Counts their bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Says whether someone waits for a place to run.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes a delivery in.
    pub(crate) fn admit(&mut self, delivery: Delivery) {
        self.records += 1;
        self.bytes += delivery.record.size();
        let lane = delivery.record.key.clone().map(|key| {
            let topic = delivery.record.topic.clone();
            (topic, delivery.origin.partition, key)
        });
        if let Some(key) = &lane {
            if let Some(waiting) = self.busy.get_mut(key) {
                waiting.push_back(delivery);
                return;
            }
            self.busy.insert(key.clone(), VecDeque::new());
        }
        self.ready.push_back(Turn { lane, delivery });
    }

    /// Returns the next whose turn it is.
    pub(crate) fn next(&mut self) -> Option<Turn> {
        self.ready.pop_front()
    }

    /// Notes that one has finished, so that the one behind it may begin.
    pub(crate) fn finish(&mut self, lane: Option<Lane>, bytes: usize) {
        self.records -= 1;
        self.bytes -= bytes;
        let Some(lane) = lane else {
            return;
        };
        match self.busy.get_mut(&lane).and_then(VecDeque::pop_front) {
            Some(delivery) => {
                let lane = Some(lane);
                self.ready.push_back(Turn { lane, delivery });
            }
            None => {
                self.busy.remove(&lane);
            }
        }
    }

    /// Gives back what has not begun, the latest of each lane first, so that they keep their order.
    pub(crate) fn release_waiting(&mut self) {
        let ready = std::mem::take(&mut self.ready);
        let ready = ready.into_iter().map(|turn| turn.delivery);
        let waiting = self.busy.values_mut().flat_map(std::mem::take);
        let mut waiting: Vec<_> = ready.chain(waiting).collect();
        for delivery in waiting.drain(..).rev() {
            self.records -= 1;
            self.bytes -= delivery.record.size();
            let _ = delivery.ticket.release(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use kser_core::{Error, Origin, Record, Settle, Ticket, Timestamp};

    use super::*;

    #[derive(Debug)]
    struct Nobody;

    #[async_trait]
    impl Settle for Nobody {
        async fn settle(&self, _: u128, _: Vec<Record>) -> Result<(), Error> {
            Ok(())
        }

        async fn begin(&self, _: u128) -> Result<(), Error> {
            Ok(())
        }

        fn release(&self, _: u128, _: Option<Timestamp>) {}
    }

    fn delivery(key: Option<&'static str>, payload: &'static str) -> Delivery {
        let payload = Bytes::from_static(payload.as_bytes());
        let mut record = Record::new(Topic::new("t").unwrap(), Some(payload));
        record.key = key.map(|key| Bytes::from_static(key.as_bytes()));
        Delivery::new(record, Origin::default(), Ticket::new(0, Arc::new(Nobody)))
    }

    fn payload(turn: &Turn) -> &[u8] {
        turn.delivery.record.payload.as_deref().unwrap()
    }

    fn drop_quietly(turn: Turn) {
        let _ = turn.delivery.ticket.release(None);
    }

    #[test]
    fn a_key_runs_one_at_a_time_and_in_order() {
        let mut lanes = Lanes::default();
        for (key, text) in [
            (Some("k"), "a"),
            (Some("k"), "b"),
            (Some("l"), "c"),
            (None, "d"),
        ] {
            lanes.admit(delivery(key, text));
        }
        assert_eq!((lanes.records(), lanes.bytes()), (4, 7));
        let first = lanes.next().unwrap();
        assert_eq!(payload(&first), b"a");
        for expected in [b"c", b"d"] {
            let turn = lanes.next().unwrap();
            assert_eq!(payload(&turn), expected);
            drop_quietly(turn);
        }
        assert!(lanes.next().is_none());
        lanes.finish(first.lane.clone(), 2);
        drop_quietly(first);
        let second = lanes.next().unwrap();
        assert_eq!(payload(&second), b"b");
        lanes.finish(second.lane.clone(), 2);
        drop_quietly(second);
        assert_eq!(lanes.records(), 2);
    }

    #[test]
    fn what_waits_is_given_back() {
        let mut lanes = Lanes::default();
        lanes.admit(delivery(Some("k"), "a"));
        lanes.admit(delivery(Some("k"), "b"));
        lanes.release_waiting();
        assert_eq!((lanes.records(), lanes.bytes()), (0, 0));
        assert!(!lanes.is_ready());
    }
}
