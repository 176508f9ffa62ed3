use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use bytes::Bytes;
use kser_core::{Delivery, Timestamp, Topic};
use tokio::time::Instant;

/// The shortest and the longest time for which the surplus deliveries of a lane are released.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

/// The records of one topic, partition and key, which run one at a time. Records without a key have no lane and run freely.
pub(crate) type Lane = (Topic, i32, Bytes);

/// The number and the size of deliveries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

/// A delivery whose turn has come.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) lane: Option<Lane>,
    pub(crate) delivery: Delivery,
    /// The time of receipt; `None` if the wait of the record before that is unknown.
    since: Option<Instant>,
}

impl Turn {
    /// Returns how long the record has waited, for its transport and here.
    fn waited(&self) -> Option<Duration> {
        Some(self.delivery.waited? + self.since?.elapsed())
    }
}

/// The received deliveries in the order of their lanes, with their number and size.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// The deliveries behind the one whose turn it is. The hasher is fixed, so that a run can be repeated.
    busy: HashMap<Lane, Queue, BuildHasherDefault<DefaultHasher>>,
    /// The deliveries that have not started and are the first of their lanes, or have no lane.
    fresh: VecDeque<Turn>,
    /// The next deliveries of lanes in which the one before has finished. They take turns with the fresh ones: a lane with
    /// many deliveries does not wait for all others, nor they for it.
    continued: VecDeque<Turn>,
    continued_is_next: bool,
    /// The largest number of deliveries that may wait in one lane.
    longest: usize,
    records: usize,
    bytes: usize,
}

/// The deliveries that wait in one lane.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Turn>,
    /// The time at which the latest delivery finished, and the time since the one before it.
    finished: Option<(Instant, Duration)>,
}

impl Lanes {
    pub(crate) fn new(longest: usize) -> Self {
        Self {
            busy: HashMap::default(),
            fresh: VecDeque::new(),
            continued: VecDeque::new(),
            continued_is_next: false,
            longest: longest.max(1),
            records: 0,
            bytes: 0,
        }
    }

    /// Counts the records that are held: running, waiting and parked.
    pub(crate) const fn load(&self) -> Load {
        Load {
            records: self.records,
            bytes: self.bytes,
        }
    }

    /// Counts a record no more: its delivery has ended, or is handed in.
    pub(crate) const fn leave(&mut self, bytes: usize) {
        self.records -= 1;
        self.bytes -= bytes;
    }

    /// Counts a record again whose delivery was handed in and did not end.
    pub(crate) const fn enter(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes;
    }

    /// Says whether a delivery waits for a place to run.
    pub(crate) fn is_ready(&self) -> bool {
        !self.fresh.is_empty() || !self.continued.is_empty()
    }

    /// Returns for each topic how long the oldest of its records has waited that has not begun.
    pub(crate) fn waited(&self) -> BTreeMap<Topic, Duration> {
        let mut longest: BTreeMap<Topic, Duration> = BTreeMap::new();
        let ready = self.fresh.iter().chain(&self.continued);
        let waiting = self.busy.values().flat_map(|queue| &queue.waiting);
        for turn in ready.chain(waiting) {
            let Some(waited) = turn.waited() else {
                continue;
            };
            let topic = &turn.delivery.record.topic;
            match longest.get_mut(topic) {
                Some(longest) => *longest = waited.max(*longest),
                None => drop(longest.insert(topic.clone(), waited)),
            }
        }
        longest
    }

    /// Takes a delivery in. One for whose lane there are enough is released for a while, so that a lane never takes the
    /// room of the others; the transport holds back those of its key that come behind it.
    pub(crate) fn admit(&mut self, delivery: Delivery, now: impl FnOnce() -> Timestamp) {
        let lane = delivery.record.key.clone().map(|key| {
            let topic = delivery.record.topic.clone();
            (topic, delivery.origin.partition, key)
        });
        let size = delivery.record.size();
        let turn = Turn {
            since: delivery.waited.map(|_| Instant::now()),
            lane,
            delivery,
        };
        match &turn.lane {
            Some(lane) => match self.busy.get_mut(lane) {
                Some(queue) if queue.waiting.len() >= self.longest => {
                    let until = now() + queue.half_life();
                    give_back(turn.delivery, Some(until));
                    return;
                }
                Some(queue) => queue.waiting.push_back(turn),
                None => {
                    self.busy.insert(lane.clone(), Queue::default());
                    self.fresh.push_back(turn);
                }
            },
            None => self.fresh.push_back(turn),
        }
        self.records += 1;
        self.bytes += size;
    }

    /// Returns the next delivery to run.
    pub(crate) fn next(&mut self) -> Option<Turn> {
        let (first, second) = match self.continued_is_next {
            true => (&mut self.continued, &mut self.fresh),
            false => (&mut self.fresh, &mut self.continued),
        };
        self.continued_is_next = !self.continued_is_next;
        first.pop_front().or_else(|| second.pop_front())
    }

    /// Notes that a delivery has finished, so that the next one in its lane may start. If it was released, the deliveries
    /// behind it are released too, because they must not run before it.
    pub(crate) fn finish(&mut self, lane: Option<Lane>, given_back: bool) {
        let Some(lane) = lane else {
            return;
        };
        if given_back {
            let queue = self.busy.remove(&lane).unwrap_or_default();
            self.release(queue.waiting);
            return;
        }
        match self.busy.get_mut(&lane).and_then(Queue::next) {
            Some(turn) => self.continued.push_back(turn),
            None => {
                self.busy.remove(&lane);
            }
        }
    }

    /// Releases the deliveries that have not started.
    pub(crate) fn release_waiting(&mut self) {
        let ready = std::mem::take(&mut self.continued);
        let ready = ready.into_iter().chain(std::mem::take(&mut self.fresh));
        let waiting = self.busy.values_mut();
        let waiting = waiting.flat_map(|queue| std::mem::take(&mut queue.waiting));
        let all = ready.chain(waiting).collect();
        self.release(all);
    }

    /// Releases the latest first, so that they keep their order.
    fn release(&mut self, turns: VecDeque<Turn>) {
        for Turn { delivery, .. } in turns.into_iter().rev() {
            self.records -= 1;
            self.bytes -= delivery.record.size();
            give_back(delivery, None);
        }
    }
}

/// Releases a delivery that has not begun, with the number of failed attempts that it came with.
fn give_back(delivery: Delivery, until: Option<Timestamp>) {
    let failed = delivery.failed;
    let _ = delivery.ticket.release_failed(until, failed);
}

impl Queue {
    fn next(&mut self) -> Option<Turn> {
        let now = Instant::now();
        let before = self.finished.map(|(at, _)| at);
        self.finished = Some((now, before.map_or(SHORTEST, |before| now - before)));
        self.waiting.pop_front()
    }

    /// Estimates the time in which half of the waiting deliveries run, so that released records are redelivered before the
    /// lane is empty.
    fn half_life(&self) -> Duration {
        let each = self.finished.map_or(SHORTEST, |(_, each)| each);
        let half = u32::try_from(self.waiting.len() / 2).unwrap_or(u32::MAX);
        each.saturating_mul(half).clamp(SHORTEST, LONGEST)
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
        async fn settle(&self, _: u128, _: &[Record]) -> Result<(), Error> {
            Ok(())
        }

        async fn begin(&self, _: u128) -> Result<(), Error> {
            Ok(())
        }

        fn release(&self, _: u128, _: Option<Timestamp>, _: u32) {}
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

    fn load(lanes: &Lanes) -> (usize, usize) {
        (lanes.load().records, lanes.load().bytes)
    }

    fn end(lanes: &mut Lanes, turn: &Turn, given_back: bool) {
        lanes.leave(turn.delivery.record.size());
        lanes.finish(turn.lane.clone(), given_back);
    }

    fn drop_quietly(turn: Turn) {
        let _ = turn.delivery.ticket.release(None);
    }

    #[test]
    fn a_key_runs_one_at_a_time_and_in_order() {
        let mut lanes = Lanes::new(100);
        for (key, text) in [
            (Some("k"), "a"),
            (Some("k"), "b"),
            (Some("l"), "c"),
            (None, "d"),
        ] {
            lanes.admit(delivery(key, text), Timestamp::default);
        }
        assert_eq!(load(&lanes), (4, 7));
        let first = lanes.next().unwrap();
        assert_eq!(payload(&first), b"a");
        for expected in [b"c", b"d"] {
            let turn = lanes.next().unwrap();
            assert_eq!(payload(&turn), expected);
            drop_quietly(turn);
        }
        assert!(lanes.next().is_none());
        end(&mut lanes, &first, false);
        drop_quietly(first);
        let second = lanes.next().unwrap();
        assert_eq!(payload(&second), b"b");
        end(&mut lanes, &second, false);
        drop_quietly(second);
        assert_eq!(lanes.load().records, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn each_topic_has_waited_as_long_as_the_oldest_that_has_not_begun() {
        let mut lanes = Lanes::new(100);
        let waited = |secs| Some(Duration::from_secs(secs));
        for (key, secs) in [(Some("k"), Some(20)), (Some("k"), Some(9)), (None, Some(4))] {
            let delivery = delivery(key, "a").with_waited(secs.and_then(waited));
            lanes.admit(delivery, Timestamp::default);
        }
        lanes.admit(delivery(None, "b"), Timestamp::default);
        tokio::time::advance(Duration::from_secs(1)).await;
        let topic = Topic::new("t").unwrap();
        assert_eq!(lanes.waited().get(&topic).copied(), waited(21));
        // The running delivery no longer waits; the next one in its lane does.
        let first = lanes.next().unwrap();
        assert_eq!(lanes.waited().get(&topic).copied(), waited(10));
        drop_quietly(first);
        lanes.release_waiting();
        assert!(lanes.waited().is_empty());
    }

    #[test]
    fn what_waits_is_given_back() {
        let mut lanes = Lanes::new(100);
        lanes.admit(delivery(Some("k"), "a"), Timestamp::default);
        lanes.admit(delivery(Some("k"), "b"), Timestamp::default);
        lanes.release_waiting();
        assert_eq!(load(&lanes), (0, 0));
        assert!(!lanes.is_ready());
    }

    /// The released deliveries, by the number in the payload.
    #[derive(Debug, Default)]
    struct Released(std::sync::Mutex<Vec<(u128, Option<Timestamp>)>>);

    #[async_trait]
    impl Settle for Released {
        async fn settle(&self, _: u128, _: &[Record]) -> Result<(), Error> {
            Ok(())
        }

        async fn begin(&self, _: u128) -> Result<(), Error> {
            Ok(())
        }

        fn release(&self, ticket: u128, until: Option<Timestamp>, _: u32) {
            self.0.lock().unwrap().push((ticket, until));
        }
    }

    fn numbered(released: &Arc<Released>, key: Option<&'static str>, number: u128) -> Delivery {
        let record = delivery(key, "x").record.clone();
        let settle: Arc<dyn Settle> = Arc::<Released>::clone(released);
        Delivery::new(record, Origin::default(), Ticket::new(number, settle))
    }

    #[tokio::test]
    async fn a_busy_key_takes_turns_with_all_others() {
        let mut lanes = Lanes::new(100);
        let released = Arc::default();
        for number in 0..50 {
            lanes.admit(numbered(&released, Some("hot"), number), Timestamp::default);
        }
        for number in 50..100 {
            lanes.admit(numbered(&released, None, number), Timestamp::default);
        }
        let (mut hot, mut others) = (0, 0);
        for _ in 0..40 {
            let turn = lanes.next().unwrap();
            match turn.lane.is_some() {
                true => hot += 1,
                false => others += 1,
            }
            end(&mut lanes, &turn, false);
            drop_quietly(turn);
        }
        assert!((19..=21).contains(&hot), "{hot} of it, {others} others");
        lanes.release_waiting();
    }

    #[tokio::test]
    async fn a_lane_gives_back_what_is_beyond_its_share() {
        let mut lanes = Lanes::new(3);
        let released = Arc::new(Released::default());
        for number in 0..6 {
            lanes.admit(numbered(&released, Some("hot"), number), Timestamp::default);
        }
        lanes.admit(numbered(&released, Some("other"), 6), Timestamp::default);
        // The one whose turn it is, three behind it, and another key.
        assert_eq!(lanes.load().records, 5);
        let given_back = std::mem::take(&mut *released.0.lock().unwrap());
        let numbers: Vec<_> = given_back.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [4, 5]);
        assert!(given_back.iter().all(|(_, until)| until.is_some()));
        lanes.release_waiting();
    }

    #[tokio::test]
    async fn what_is_behind_one_that_is_given_back_is_given_back_too() {
        let mut lanes = Lanes::new(100);
        let released = Arc::new(Released::default());
        for number in 0..4 {
            lanes.admit(numbered(&released, Some("k"), number), Timestamp::default);
        }
        let first = lanes.next().unwrap();
        end(&mut lanes, &first, true);
        drop_quietly(first);
        let order: Vec<_> = released.0.lock().unwrap().iter().map(|(n, _)| *n).collect();
        assert_eq!(order, [3, 2, 1, 0]);
        assert!(!lanes.is_ready());
        assert_eq!(load(&lanes), (0, 0));
    }
}
