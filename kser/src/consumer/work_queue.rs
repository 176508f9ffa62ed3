use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kser_core::store::OutputId;
use kser_core::{Delivery, Room, Timestamp, Told, Topic};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::delivery::process::{End, EndedJob, Finished, ReturnedWork};
use super::handed_in::{HandedInDeliveries, Resolution};
use super::lanes::{Lanes, Load, Turn};
use super::places::Places;

/// The largest number of workers that wait for work. Others end.
const IDLE: usize = 1024;

/// A dispatcher that has no room is woken when this part of the held records has ended: 1 / `ROOM`.
const ROOM: usize = 8;

/// The deliveries in hand of a consumer, from which its workers pull their work, and the deliveries that are handed in.
///
/// The dispatcher puts deliveries and results in. A worker that ends a delivery takes the next one under the same lock, in the
/// order of the lanes.
#[derive(Debug)]
pub(crate) struct WorkQueue {
    state: Mutex<State>,
    places: Places,
    held_records: usize,
    /// Has as many permits as idle workers that are called.
    calls: Semaphore,
    /// Wakes the dispatcher.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    lanes: Lanes,
    handed_in: HandedInDeliveries,
    /// The deliveries that were handed in and did not end.
    returned: VecDeque<(ReturnedWork, u64)>,
    /// The outputs of deliveries that were handed in and have ended, which the store keeps until they are marked.
    relayed: Vec<OutputId>,
    /// The places that the dispatcher waited for.
    granted: Vec<OwnedSemaphorePermit>,
    /// The workers that have work.
    busy: usize,
    /// The workers that wait to be called.
    idle: usize,
    /// Set from the call or the start of a worker until that worker asks for work. There is at most one, which calls the next.
    called: bool,
    /// Set while the dispatcher has no room: the number of deliveries that have ended since.
    ended: Option<usize>,
    /// Set while the dispatcher waits for a place.
    awaits_place: bool,
    /// Set when no delivery is to start any more.
    is_ending: bool,
}

/// The work of a worker.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is moved once, to the worker")]
pub(crate) enum Job {
    Process {
        turn: Turn,
        place: OwnedSemaphorePermit,
        number: u64,
    },
    FinishReturned(ReturnedWork, u64),
    /// Marks outputs that the store keeps as published.
    MarkRelayed(Vec<OutputId>),
}

/// The answer to a worker that asks for work.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is moved once, to the worker")]
pub(crate) enum Next {
    Work(Job),
    /// The worker waits to be called.
    Idle,
    /// The worker ends, since many others are idle.
    Leave,
}

/// The next action of the dispatcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Nothing,
    /// Start a worker: all have work.
    Hire,
    /// Wait for a place, and grant it.
    AwaitPlace,
}

impl WorkQueue {
    pub(crate) fn new(places: Places, held_records: usize, longest_lane: usize) -> Self {
        Self {
            state: Mutex::new(State {
                lanes: Lanes::new(longest_lane),
                handed_in: HandedInDeliveries::default(),
                returned: VecDeque::new(),
                relayed: Vec::new(),
                granted: Vec::new(),
                busy: 0,
                idle: 0,
                called: false,
                ended: None,
                awaits_place: false,
                is_ending: false,
            }),
            places,
            held_records,
            calls: Semaphore::new(0),
            changed: Notify::new(),
        }
    }

    /// Puts received deliveries in their lanes.
    pub(crate) fn admit(&self, deliveries: Vec<Delivery>, now: impl Fn() -> Timestamp) {
        let mut state = self.state();
        for delivery in deliveries {
            state.lanes.admit(delivery, &now);
        }
    }

    /// Takes the results of deliveries that were handed in.
    pub(crate) fn note(&self, told: Vec<Told>) {
        let mut state = self.state();
        for told in told {
            let resolved = state.handed_in.note(told);
            state.resolve(resolved);
        }
    }

    /// Gives the place that the dispatcher waited for to the next worker that asks for work.
    pub(crate) fn grant(&self, place: Option<OwnedSemaphorePermit>) {
        let mut state = self.state();
        state.awaits_place = false;
        if state.lanes.is_ready() {
            state.granted.extend(place);
        }
    }

    /// Calls a worker if there is work for it, or returns how the dispatcher gets it done.
    pub(crate) fn call(&self) -> Call {
        let mut state = self.state();
        let call = match state.has_work(&self.places) {
            true if state.called => Call::Nothing,
            true => match self.call_idle(&mut state) {
                true => Call::Nothing,
                false => {
                    state.called = true;
                    Call::Hire
                }
            },
            false if state.may_start() => Call::AwaitPlace,
            false => Call::Nothing,
        };
        state.awaits_place = call == Call::AwaitPlace;
        call
    }

    /// Takes the end of the work that a worker had, and gives it other work. A worker that comes without an end is new, or was
    /// called.
    pub(crate) fn next(&self, ended: Option<EndedJob>) -> Next {
        let mut state = self.state();
        let place = match ended {
            Some(ended) => self.take_end(&mut state, ended),
            None => {
                state.called = false;
                None
            }
        };
        match state.pull(place, &self.places) {
            Some(job) => {
                state.busy += 1;
                self.call_another(&mut state);
                Next::Work(job)
            }
            None => {
                if state.is_ending || (state.may_start() && !state.awaits_place) {
                    self.changed.notify_one();
                }
                if state.idle >= IDLE {
                    return Next::Leave;
                }
                state.idle += 1;
                Next::Idle
            }
        }
    }

    /// Waits until an idle worker is called. `false` once there is no more work.
    pub(crate) async fn called(&self) -> bool {
        match self.calls.acquire().await {
            Ok(call) => {
                call.forget();
                true
            }
            Err(_) => false,
        }
    }

    /// Waits until the dispatcher has something to look at.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Returns the room that `room` computes from the deliveries that run, wait or are parked, and from those that are handed
    /// in. If there is none, the dispatcher is woken when there is.
    pub(crate) fn room(&self, room: impl FnOnce(Load, Load) -> Room) -> Room {
        let mut state = self.state();
        let room = room(state.lanes.load(), state.handed_in.load());
        state.ended = match room.records {
            0 => Some(state.ended.unwrap_or_default()),
            _ => None,
        };
        room
    }

    /// Returns the deliveries that run, wait for their turn or are parked, and those that are handed in.
    pub(crate) fn load(&self) -> (Load, Load) {
        let state = self.state();
        (state.lanes.load(), state.handed_in.load())
    }

    /// Returns for each topic how long the oldest of its records has waited that has not begun.
    pub(crate) fn waited(&self) -> BTreeMap<Topic, Duration> {
        self.state().lanes.waited()
    }

    /// Releases the deliveries that have not started; none starts any more.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.is_ending = true;
        state.granted.clear();
        state.lanes.release_waiting();
    }

    /// Says whether no delivery is in hand, nor handed in.
    pub(crate) fn is_done(&self) -> bool {
        let state = self.state();
        state.busy == 0 && !state.has_jobs() && state.handed_in.is_empty()
    }

    /// Ends the idle workers.
    pub(crate) fn close(&self) {
        self.calls.close();
    }

    fn take_end(&self, state: &mut State, ended: EndedJob) -> Option<OwnedSemaphorePermit> {
        let EndedJob { end, place } = ended;
        state.busy -= 1;
        state.take_end(end);
        if let Some(ended) = &mut state.ended {
            *ended += 1;
            if *ended * ROOM >= self.held_records || !state.lanes.is_ready() {
                state.ended = None;
                self.changed.notify_one();
            }
        }
        // Deliveries that wait for a place are served before those that have not started.
        place.filter(|_| !self.places.are_wanted())
    }

    /// Calls another worker if there is work left, and none is on its way.
    fn call_another(&self, state: &mut State) {
        let is_left = match state.has_work(&self.places) {
            true => !state.called && !self.call_idle(state),
            false => state.may_start() && !state.awaits_place,
        };
        if is_left {
            // The dispatcher starts a worker, or waits for a place.
            self.changed.notify_one();
        }
    }

    fn call_idle(&self, state: &mut State) -> bool {
        if state.idle == 0 {
            return false;
        }
        state.idle -= 1;
        state.called = true;
        self.calls.add_permits(1);
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Says whether a delivery waits only for a place.
    fn may_start(&self) -> bool {
        !self.is_ending && self.lanes.is_ready()
    }

    /// Says whether a worker would get work.
    fn has_work(&self, places: &Places) -> bool {
        let has_place = || !self.granted.is_empty() || places.is_free();
        self.has_jobs() || (self.may_start() && has_place())
    }

    /// Says whether there is work that needs no place.
    fn has_jobs(&self) -> bool {
        !self.returned.is_empty() || !self.relayed.is_empty()
    }

    fn pull(&mut self, place: Option<OwnedSemaphorePermit>, places: &Places) -> Option<Job> {
        if let Some((work, number)) = self.returned.pop_front() {
            return Some(Job::FinishReturned(work, number));
        }
        if !self.relayed.is_empty() {
            return Some(Job::MarkRelayed(mem::take(&mut self.relayed)));
        }
        if !self.may_start() {
            self.granted.clear();
            return None;
        }
        let place = place
            .or_else(|| self.granted.pop())
            .or_else(|| places.try_take())?;
        let turn = self.lanes.next()?;
        let number = self.handed_in.start();
        Some(Job::Process {
            turn,
            place,
            number,
        })
    }

    /// Takes the end of the work on a delivery.
    fn take_end(&mut self, end: End) {
        match end {
            End::Marked => {}
            End::Finished(number, finished) => {
                self.handed_in.finish(number);
                self.lanes.leave(finished.bytes);
                self.finish(finished);
            }
            End::HandedIn(number, delivery) => {
                self.lanes.leave(delivery.bytes);
                let resolved = self.handed_in.hand_in(number, delivery);
                self.resolve(resolved);
            }
        }
    }

    /// Finishes a delivery whose result arrived, or has a worker settle it.
    fn resolve(&mut self, resolved: Option<Resolution>) {
        match resolved {
            None => {}
            Some(Resolution::Ended(delivery, settled)) => {
                let delivery = *delivery;
                // Outputs of a lost delivery are not published: the store keeps them for a sweep.
                if !settled.is_lost() && !settled.is_released() {
                    self.relayed.extend(delivery.relayed);
                }
                let topic = &delivery.tracked.record.topic;
                if let Some(settling) = delivery.settling.filter(|_| !settled.is_released()) {
                    settling.ended(topic);
                }
                drop(delivery.settle_span);
                let finished = Finished::new(&settled, topic, delivery.lane, delivery.bytes);
                self.finish(finished);
            }
            Some(Resolution::Returned(delivery, returned)) => {
                self.lanes.enter(delivery.bytes);
                let number = self.handed_in.start();
                let work = ReturnedWork { delivery, returned };
                self.returned.push_back((work, number));
            }
        }
    }

    fn finish(&mut self, finished: Finished) {
        self.lanes.finish(finished.lane, finished.given_back);
        if self.is_ending {
            self.lanes.release_waiting();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use bytes::Bytes;
    use kser_core::{Error, Origin, Record, Settle, Ticket};

    use super::*;

    #[derive(Debug)]
    struct Transport;

    #[async_trait]
    impl Settle for Transport {
        async fn settle(&self, _: u128, _: &[Record]) -> Result<(), Error> {
            Ok(())
        }

        async fn begin(&self, _: u128) -> Result<(), Error> {
            Ok(())
        }

        fn release(&self, _: u128, _: Option<Timestamp>, _: u32) {}
    }

    fn delivery(key: Option<&'static str>) -> Delivery {
        let mut record = Record::new(Topic::new("t").unwrap(), Some(Bytes::from_static(b"x")));
        record.key = key.map(|key| Bytes::from_static(key.as_bytes()));
        let ticket = Ticket::new(0, Arc::new(Transport));
        Delivery::new(record, Origin::default(), ticket)
    }

    fn queue(places: usize, keys: &[Option<&'static str>]) -> (WorkQueue, Places) {
        let places = Places::new(places);
        let queue = WorkQueue::new(places.clone(), 8, 100);
        let deliveries = keys.iter().map(|key| delivery(*key)).collect();
        queue.admit(deliveries, Timestamp::default);
        (queue, places)
    }

    /// Takes the work for a worker.
    fn pull(queue: &WorkQueue, ended: Option<EndedJob>) -> Option<EndedJob> {
        match queue.next(ended) {
            Next::Work(Job::Process {
                turn,
                place,
                number,
            }) => {
                let settled = turn.delivery.ticket.release(None);
                let record = &turn.delivery.record;
                let (topic, bytes) = (&record.topic, record.size());
                let mut finished = Finished::new(&settled, topic, turn.lane, bytes);
                finished.given_back = false;
                Some(EndedJob {
                    end: End::Finished(number, finished),
                    place: Some(place),
                })
            }
            Next::Idle => None,
            other => panic!("{other:?}"),
        }
    }

    fn is_changed(queue: &WorkQueue) -> bool {
        let mut changed = std::pin::pin!(queue.changed());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        changed.as_mut().poll(&mut cx).is_ready()
    }

    fn calls(queue: &WorkQueue) -> usize {
        queue.calls.available_permits()
    }

    #[test]
    fn a_worker_goes_on_with_its_place_until_nothing_is_left() {
        let (queue, places) = queue(1, &[None, None, Some("k"), Some("k")]);
        assert_eq!(queue.call(), Call::Hire);
        assert_eq!(queue.call(), Call::Nothing, "one is on its way");
        let mut ended = pull(&queue, None);
        for _ in 0..3 {
            assert!(ended.is_some() && !places.is_free());
            ended = pull(&queue, ended);
        }
        assert!(pull(&queue, ended).is_none());
        assert!(places.is_free() && queue.is_done());
        assert_eq!(queue.load().0, Load::default());
        assert_eq!((queue.call(), calls(&queue)), (Call::Nothing, 0));
    }

    #[test]
    fn workers_are_called_one_at_a_time_while_there_is_work_for_them() {
        let (queue, _places) = queue(9, &[]);
        for _ in 0..3 {
            assert!(pull(&queue, None).is_none());
        }
        queue.admit(vec![delivery(None), delivery(None)], Timestamp::default);
        assert_eq!((queue.call(), calls(&queue)), (Call::Nothing, 1));
        assert_eq!((queue.call(), calls(&queue)), (Call::Nothing, 1));
        let first = pull(&queue, None);
        assert_eq!(calls(&queue), 2, "it calls the next one");
        let second = pull(&queue, None);
        assert_eq!(calls(&queue), 2, "nothing is left");
        assert!(pull(&queue, first).is_none() && pull(&queue, second).is_none());
    }

    #[test]
    fn the_dispatcher_waits_for_a_place_when_all_are_taken() {
        let (queue, places) = queue(1, &[None]);
        let place = places.try_take();
        assert_eq!(queue.call(), Call::AwaitPlace);
        // A worker that comes meanwhile leaves it to the dispatcher.
        assert!(pull(&queue, None).is_none());
        assert!(!is_changed(&queue));
        queue.grant(place);
        assert_eq!((queue.call(), calls(&queue)), (Call::Nothing, 1));
        let ended = pull(&queue, None);
        assert!(ended.is_some() && !places.is_free());
        assert!(pull(&queue, ended).is_none());
        assert!(places.is_free());
        // A place that is granted when nothing waits is free again.
        queue.grant(places.try_take());
        assert!(places.is_free());
    }

    #[test]
    fn a_worker_that_finds_no_place_says_so() {
        let (queue, places) = queue(1, &[None]);
        assert_eq!(queue.call(), Call::Hire);
        let place = places.try_take();
        assert!(pull(&queue, None).is_none());
        assert!(is_changed(&queue));
        assert_eq!(queue.call(), Call::AwaitPlace);
        drop(place);
    }

    #[tokio::test]
    async fn a_place_goes_to_a_delivery_that_waits_for_one_before_a_new_one() {
        let (queue, places) = queue(1, &[None, None]);
        let ended = pull(&queue, None);
        let mut waiting = std::pin::pin!(places.take(1));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        assert!(pull(&queue, ended).is_none());
        assert!(waiting.await.is_some());
    }

    #[test]
    fn a_dispatcher_without_room_is_woken_when_there_is_some_again() {
        let keys = [None; 8];
        let (queue, _places) = queue(1, &keys);
        let full = |held: Load, _: Load| Room::records(8 - held.records);
        assert_eq!(queue.room(full).records, 0);
        let mut ended = pull(&queue, None);
        assert!(is_changed(&queue), "the others need a place");
        assert_eq!(queue.call(), Call::AwaitPlace);
        assert!(!is_changed(&queue));
        ended = pull(&queue, ended);
        assert!(is_changed(&queue), "an eighth has ended");
        assert_eq!(queue.room(full).records, 1);
        ended = pull(&queue, ended);
        assert!(!is_changed(&queue), "it has room");
        drop(ended);
    }

    #[test]
    fn what_has_not_started_is_released_at_the_end() {
        let (queue, _places) = queue(1, &[Some("k"), Some("k"), None]);
        let ended = pull(&queue, None);
        queue.end();
        assert_eq!(queue.load().0.records, 1);
        assert!(!queue.is_done());
        assert!(pull(&queue, ended).is_none());
        assert!(is_changed(&queue) && queue.is_done());
        assert_eq!(queue.load().0, Load::default());
    }
}
