use std::fmt::Debug;
use std::mem;
use std::sync::Arc;

use super::{Settle, Settled, Ticket};
use crate::{NotPublished, Record, Timestamp};

/// Settles deliveries without being awaited. A backend that can implements it for [`Ticket::with_hand_in`]; many tasks call it
/// at once.
pub trait HandIn: Settle {
    /// Publishes the outputs of a delivery and acknowledges it, as [`settle`](Settle::settle) does. The call must not block.
    ///
    /// The backend reports the result once, from any thread, also before this returns. Until then it keeps the delivery: one
    /// that it drops without a report is released.
    ///
    /// # Errors
    ///
    /// Returns the delivery if the backend has to wait before it can publish, as for room. Nothing is published then, and the
    /// caller awaits a settle.
    fn hand_in(&self, ended: EndedDelivery) -> Result<(), EndedDelivery>;
}

/// Receives the results of deliveries that were handed in. The consumer implements it.
pub trait HandInReports: Debug + Send + Sync + 'static {
    /// Takes the result of one delivery. The call must not block: it comes from the threads of the backend.
    fn report(&self, told: Told);
}

/// The result of a delivery that was handed in.
#[derive(Debug)]
#[non_exhaustive]
pub struct Told {
    /// The number that the caller gave to the delivery.
    pub place: u64,
    /// The end of the delivery, or the delivery itself if it did not end.
    pub result: Result<Settled, Box<ReturnedDelivery>>,
}

/// A delivery that was handed in and is not settled.
#[derive(Debug)]
#[non_exhaustive]
pub struct ReturnedDelivery {
    /// The ticket, for a settle or a release.
    pub ticket: Ticket,
    /// The outputs as they were handed in.
    pub outputs: Vec<Record>,
    /// The outputs that are not published, with the reasons. The others are published, and must not be published again.
    pub unpublished: NotPublished,
}

/// A proof that a delivery was handed in, so that its result is reported.
///
/// The ticket is consumed: a delivery cannot be handed in twice.
///
/// ```compile_fail,E0382
/// # use std::sync::Arc;
/// # use kser_core::{HandInReports, Ticket};
/// fn end(ticket: Ticket, reports: &Arc<dyn HandInReports>) {
///     let _ = ticket.hand_in(Vec::new(), 0, reports);
///     let _ = ticket.hand_in(Vec::new(), 0, reports);
/// }
/// ```
///
/// Nothing else makes this proof, so that a function that returns it cannot forget its ticket.
///
/// ```compile_fail,E0451
/// # use kser_core::{HandedIn, Ticket};
/// fn end(ticket: Ticket) -> HandedIn {
///     HandedIn { _proof: () }
/// }
/// ```
#[derive(Debug)]
#[must_use = "the result of the delivery is reported"]
pub struct HandedIn {
    _proof: (),
}

/// A delivery that has ended: the ticket, the outputs, and the place to report to. The backend ends it with one report.
#[derive(Debug)]
#[must_use = "report its result"]
pub struct EndedDelivery {
    parts: Option<Parts>,
}

#[derive(Debug)]
struct Parts {
    ticket: Ticket,
    outputs: Vec<Record>,
    place: u64,
    reports: Arc<dyn HandInReports>,
}

impl Ticket {
    /// Hands the end of the delivery in: the backend publishes `outputs` and acknowledges the delivery, and reports the result
    /// with the number `place`. Does not wait.
    ///
    /// # Errors
    ///
    /// Returns the ticket and the outputs if the backend takes no hand-ins, or cannot take this one without waiting. The
    /// caller then settles the delivery.
    pub fn hand_in(
        self,
        outputs: Vec<Record>,
        place: u64,
        reports: &Arc<dyn HandInReports>,
    ) -> Result<HandedIn, (Self, Vec<Record>)> {
        let Some(hand_in) = self.settler.hand_in().map(Arc::clone) else {
            return Err((self, outputs));
        };
        let ended = EndedDelivery {
            parts: Some(Parts {
                ticket: self,
                outputs,
                place,
                reports: Arc::clone(reports),
            }),
        };
        match hand_in.hand_in(ended) {
            Ok(()) => Ok(HandedIn { _proof: () }),
            Err(mut ended) => {
                let parts = ended.parts.take().expect("it is taken by a report only");
                Err((parts.ticket, parts.outputs))
            }
        }
    }
}

impl EndedDelivery {
    /// Returns the id of the ticket.
    #[must_use]
    pub fn id(&self) -> u128 {
        self.parts.as_ref().map_or(0, |parts| parts.ticket.id)
    }

    /// Returns the outputs, in order.
    #[must_use]
    pub fn outputs(&self) -> &[Record] {
        self.parts.as_ref().map_or(&[], |parts| &parts.outputs)
    }

    /// Moves the outputs out. The backend gives those that it could not publish back with
    /// [`report_unpublished`](Self::report_unpublished).
    pub fn take_outputs(&mut self) -> Vec<Record> {
        let parts = self.parts.as_mut();
        parts.map_or_else(Vec::new, |parts| mem::take(&mut parts.outputs))
    }

    /// Reports that the outputs are published and the delivery is acknowledged, both durably.
    pub fn report_settled(self) {
        self.report_end(false);
    }

    /// Reports that the delivery was reassigned to another member.
    pub fn report_lost(self) {
        self.report_end(true);
    }

    /// Reports that some outputs are not published, so that the delivery is not acknowledged. `outputs` are all of them as
    /// they were handed in.
    pub fn report_unpublished(mut self, outputs: Vec<Record>, unpublished: NotPublished) {
        if let Some(parts) = self.parts.take() {
            let returned = Box::new(ReturnedDelivery {
                ticket: parts.ticket,
                outputs,
                unpublished,
            });
            parts.reports.report(Told {
                place: parts.place,
                result: Err(returned),
            });
        }
    }

    fn report_end(mut self, lost: bool) {
        if let Some(mut parts) = self.parts.take() {
            parts.ticket.open = false;
            parts.reports.report(Told {
                place: parts.place,
                result: Ok(Settled {
                    lost,
                    released: false,
                }),
            });
        }
    }
}

impl Drop for EndedDelivery {
    /// Releases a delivery whose result the backend does not report, so that its caller does not wait for ever.
    fn drop(&mut self) {
        if let Some(parts) = self.parts.take() {
            let nothing_counted = None::<Timestamp>;
            let settled = parts.ticket.release(nothing_counted);
            parts.reports.report(Told {
                place: parts.place,
                result: Ok(settled),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::{Error, Topic};

    /// Keeps deliveries that are handed in, up to a number of them, and the ids of those that are released.
    #[derive(Debug, Default)]
    struct Backend {
        room: usize,
        kept: Mutex<Vec<EndedDelivery>>,
        released: Mutex<Vec<u128>>,
    }

    #[async_trait]
    impl Settle for Backend {
        async fn settle(&self, _: u128, _: &[Record]) -> Result<(), Error> {
            Ok(())
        }

        async fn begin(&self, _: u128) -> Result<(), Error> {
            Ok(())
        }

        fn release(&self, ticket: u128, _: Option<Timestamp>, _: u32) {
            self.released.lock().unwrap().push(ticket);
        }
    }

    impl HandIn for Backend {
        fn hand_in(&self, ended: EndedDelivery) -> Result<(), EndedDelivery> {
            let mut kept = self.kept.lock().unwrap();
            match kept.len() < self.room {
                true => kept.push(ended),
                false => return Err(ended),
            }
            Ok(())
        }
    }

    #[derive(Debug, Default)]
    struct Results(Mutex<Vec<Told>>);

    impl HandInReports for Results {
        fn report(&self, told: Told) {
            self.0.lock().unwrap().push(told);
        }
    }

    fn backend(room: usize) -> (Arc<Backend>, Arc<Results>, Arc<dyn HandInReports>) {
        let backend = Backend {
            room,
            ..Backend::default()
        };
        let results = Arc::new(Results::default());
        let reports: Arc<dyn HandInReports> = Arc::<Results>::clone(&results);
        (Arc::new(backend), results, reports)
    }

    fn outputs() -> Vec<Record> {
        vec![Record::new(Topic::new("t").unwrap(), None)]
    }

    #[test]
    fn a_delivery_that_is_not_taken_comes_back_with_its_outputs() {
        let (backend, results, reports) = backend(0);
        let tickets = [
            Ticket::new(1, Arc::<Backend>::clone(&backend)),
            Ticket::with_hand_in(2, Arc::<Backend>::clone(&backend)),
        ];
        for ticket in tickets {
            let (ticket, outputs) = ticket.hand_in(outputs(), 7, &reports).unwrap_err();
            assert_eq!(outputs.len(), 1);
            let _ = ticket.release(None);
        }
        assert_eq!(*backend.released.lock().unwrap(), [1, 2]);
        assert!(results.0.lock().unwrap().is_empty());
    }

    #[test]
    fn each_delivery_is_reported_once_by_its_number() {
        let (backend, results, reports) = backend(9);
        for number in 0..4 {
            let ticket = Ticket::with_hand_in(u128::from(number), Arc::<Backend>::clone(&backend));
            let _ = ticket.hand_in(outputs(), number, &reports).unwrap();
        }
        let mut kept = mem::take(&mut *backend.kept.lock().unwrap()).into_iter();
        kept.next().unwrap().report_settled();
        kept.next().unwrap().report_lost();
        let mut unpublished = kept.next().unwrap();
        let taken = unpublished.take_outputs();
        let failed = NotPublished::new(vec![(0, Error::Closed)]);
        unpublished.report_unpublished(taken, failed);
        // The backend forgets the last: it is redelivered.
        drop(kept);
        assert_eq!(*backend.released.lock().unwrap(), [3]);
        let told = mem::take(&mut *results.0.lock().unwrap());
        let shown = told.into_iter().map(|told| match told.result {
            Ok(settled) => (told.place, settled.is_lost(), settled.is_released(), 0),
            Err(returned) => {
                let outputs = returned.outputs.len();
                let _ = returned.ticket.release(None);
                (told.place, false, false, outputs)
            }
        });
        let expected = [
            (0, false, false, 0),
            (1, true, false, 0),
            (2, false, false, 1),
            (3, false, true, 0),
        ];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }
}
