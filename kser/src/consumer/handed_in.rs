use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use kser_core::store::OutputId;
use kser_core::{
    Cancellation, Clock, HandInReports, ReturnedDelivery, Settled, Timestamp, Told, Topic,
};
use tokio::sync::Notify;
use tracing::Span;

use super::delivery::tracked_record::TrackedRecord;
use super::lanes::{Lane, Load};
use crate::observer::{Observation, Observer};

/// The results of deliveries that were handed in, from the threads of the transport to the dispatcher.
#[derive(Debug, Default)]
pub(crate) struct Results {
    told: Mutex<Vec<Told>>,
    arrived: Notify,
}

impl Results {
    /// Waits for results, and takes all of them.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn take(&self) -> Vec<Told> {
        loop {
            let told = self.take_now();
            if !told.is_empty() {
                return told;
            }
            self.arrived.notified().await;
        }
    }

    /// Takes the results that are there.
    pub(crate) fn take_now(&self) -> Vec<Told> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Vec::with_capacity(told.len());
        match told.is_empty() {
            true => Vec::new(),
            // About as many arrive until the next time.
            false => mem::replace(&mut *told, next),
        }
    }
}

impl HandInReports for Results {
    fn report(&self, result: Told) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // The dispatcher takes all of them, so that one wake-up serves many.
        let is_first = told.is_empty();
        told.push(result);
        drop(told);
        if is_first {
            self.arrived.notify_one();
        }
    }
}

/// The number by which the result of a delivery finds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HandInPlace<'p> {
    pub(crate) number: u64,
    pub(crate) results: &'p Arc<dyn HandInReports>,
}

/// A delivery that was handed in, with the parts that a settle needs if it is given back.
#[derive(Debug)]
pub(crate) struct HandedInDelivery {
    pub(crate) tracked: TrackedRecord,
    pub(crate) revoked: Cancellation,
    pub(crate) crash_count: u32,
    pub(crate) lane: Option<Lane>,
    pub(crate) bytes: usize,
    /// The observation of the settle, if it is observed.
    pub(crate) settling: Option<Settling>,
    /// Ends with this value, as the settle does.
    pub(crate) settle_span: Option<Box<Span>>,
    /// The last outputs are these, which the store keeps until they are relayed.
    pub(crate) relayed: Vec<OutputId>,
}

/// A settle that an observer is told the time of.
#[derive(Debug)]
pub(crate) struct Settling {
    pub(crate) began: Timestamp,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Settling {
    pub(crate) fn ended(&self, topic: &Topic) {
        self.observer.observe(&Observation::Settled {
            topic,
            duration: self.clock.now().since(self.began),
        });
    }
}

/// The next action for a delivery whose result arrived.
#[derive(Debug)]
pub(crate) enum Resolution {
    /// The delivery has ended.
    Ended(Box<HandedInDelivery>, Settled),
    /// The delivery is to be settled.
    Returned(Box<HandedInDelivery>, Box<ReturnedDelivery>),
}

/// The deliveries in hand by number. A result may arrive before the worker has said that it handed the delivery in.
#[derive(Debug, Default)]
pub(crate) struct HandedInDeliveries {
    places: Vec<Place>,
    free: Vec<usize>,
    load: Load,
}

#[derive(Debug)]
enum Place {
    Free,
    /// A worker has the delivery.
    Working,
    /// The result arrived first.
    Told(Told),
    HandedIn(Box<HandedInDelivery>),
}

impl HandedInDeliveries {
    /// Takes a number for a delivery that a worker starts.
    pub(crate) fn start(&mut self) -> u64 {
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.places.push(Place::Free);
                self.places.len() - 1
            }
        };
        self.set(at, Place::Working);
        at as u64
    }

    /// Gives the number of a delivery back that its worker has finished.
    pub(crate) fn finish(&mut self, number: u64) {
        self.clear(number);
    }

    /// Says whether no delivery waits for its result.
    pub(crate) const fn is_empty(&self) -> bool {
        self.load.records == 0
    }

    /// Counts the deliveries that wait for their results.
    pub(crate) const fn load(&self) -> Load {
        self.load
    }

    /// Notes that a worker has handed a delivery in. Returns it if its result has arrived.
    pub(crate) fn hand_in(
        &mut self,
        number: u64,
        delivery: Box<HandedInDelivery>,
    ) -> Option<Resolution> {
        match self.clear(number) {
            Place::Told(told) => Some(resolve(delivery, told)),
            _ => {
                self.load.records += 1;
                self.load.bytes += delivery.bytes;
                self.free.pop();
                let at = usize::try_from(number).ok()?;
                self.set(at, Place::HandedIn(delivery));
                None
            }
        }
    }

    /// Notes a result. Returns the delivery if its worker has handed it in.
    pub(crate) fn note(&mut self, told: Told) -> Option<Resolution> {
        let at = usize::try_from(told.place).ok()?;
        if let Some(place @ Place::Working) = self.places.get_mut(at) {
            *place = Place::Told(told);
            return None;
        }
        match self.clear(told.place) {
            Place::HandedIn(delivery) => {
                self.load.records -= 1;
                self.load.bytes -= delivery.bytes;
                Some(resolve(delivery, told))
            }
            _ => None,
        }
    }

    fn set(&mut self, at: usize, state: Place) {
        if let Some(place) = self.places.get_mut(at) {
            *place = state;
        }
    }

    /// Frees a number, and returns its state.
    fn clear(&mut self, number: u64) -> Place {
        let at = usize::try_from(number).ok();
        let place = at.and_then(|at| self.places.get_mut(at).zip(Some(at)));
        let Some((place, at)) = place else {
            return Place::Free;
        };
        self.free.push(at);
        mem::replace(place, Place::Free)
    }
}

fn resolve(delivery: Box<HandedInDelivery>, told: Told) -> Resolution {
    match told.result {
        Ok(settled) => Resolution::Ended(delivery, settled),
        Err(returned) => Resolution::Returned(delivery, returned),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use kser_core::{EndedDelivery, Error, HandIn, NotPublished, Origin, Record, Settle, Ticket};

    use super::*;

    /// Keeps the deliveries that are handed in.
    #[derive(Debug, Default)]
    struct Keeping(Mutex<Vec<EndedDelivery>>);

    #[async_trait]
    impl Settle for Keeping {
        async fn settle(&self, _: u128, _: &[Record]) -> Result<(), Error> {
            Ok(())
        }

        async fn begin(&self, _: u128) -> Result<(), Error> {
            Ok(())
        }

        fn release(&self, _: u128, _: Option<Timestamp>, _: u32) {}
    }

    impl HandIn for Keeping {
        fn hand_in(&self, ended: EndedDelivery) -> Result<(), EndedDelivery> {
            self.0.lock().unwrap().push(ended);
            Ok(())
        }
    }

    fn record() -> Record {
        Record::new(Topic::new("t").unwrap(), None)
    }

    #[derive(Debug)]
    struct Stands;

    impl Clock for Stands {
        fn now(&self) -> Timestamp {
            Timestamp::default()
        }

        fn wall(&self) -> Timestamp {
            Timestamp::default()
        }
    }

    fn delivery(bytes: usize) -> Box<HandedInDelivery> {
        Box::new(HandedInDelivery {
            tracked: TrackedRecord::received(record(), Origin::default(), &Stands),
            revoked: Cancellation::default(),
            crash_count: 0,
            lane: None,
            bytes,
            settling: None,
            settle_span: None,
            relayed: Vec::new(),
        })
    }

    /// Hands a delivery in under a number, and returns the transport's part of it.
    fn hand_in(number: u64, results: &Arc<Results>) -> EndedDelivery {
        let transport = Arc::new(Keeping::default());
        let ticket = Ticket::with_hand_in(0, Arc::<Keeping>::clone(&transport));
        let reports: Arc<dyn HandInReports> = Arc::<Results>::clone(results);
        let _ = ticket.hand_in(vec![record()], number, &reports).unwrap();
        transport.0.lock().unwrap().pop().unwrap()
    }

    #[test]
    fn a_result_that_comes_before_the_word_of_its_worker_is_kept() {
        let (results, mut handed_in) = (Arc::default(), HandedInDeliveries::default());
        let numbers = [handed_in.start(), handed_in.start()];
        for number in numbers {
            hand_in(number, &results).report_settled();
        }
        let told = results.take_now();
        assert_eq!(told.len(), 2);
        for told in told {
            assert!(handed_in.note(told).is_none());
        }
        for number in numbers {
            let resolved = handed_in.hand_in(number, delivery(1));
            assert!(matches!(resolved, Some(Resolution::Ended(..))));
        }
        assert!(handed_in.is_empty());
    }

    #[test]
    fn a_result_finds_its_delivery_and_frees_its_number() {
        let (results, mut handed_in) = (Arc::default(), HandedInDeliveries::default());
        let (first, second) = (handed_in.start(), handed_in.start());
        let (one, other) = (hand_in(first, &results), hand_in(second, &results));
        assert!(handed_in.hand_in(first, delivery(1)).is_none());
        assert!(handed_in.hand_in(second, delivery(2)).is_none());
        assert!(!handed_in.is_empty());
        other.report_unpublished(vec![record()], NotPublished::new(Vec::new()));
        for told in results.take_now() {
            let Some(Resolution::Returned(delivery, _)) = handed_in.note(told) else {
                panic!("it is given back");
            };
            assert_eq!(delivery.bytes, 2);
        }
        assert_eq!(handed_in.start(), second);
        // A delivery that the transport forgets is released, and its lane is free.
        drop(one);
        for told in results.take_now() {
            let Some(Resolution::Ended(_, settled)) = handed_in.note(told) else {
                panic!("it has ended");
            };
            assert!(settled.is_released());
        }
        assert!(handed_in.is_empty());
        handed_in.finish(second);
        let mut numbers = [handed_in.start(), handed_in.start(), handed_in.start()];
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2]);
    }
}
