//! A ticket of the inner transport, behind one of ours.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use kser_core::{
    EndedDelivery, Error, HandIn, NotPublished, Record, Settle, Ticket, Timestamp, Transport,
};

use crate::transport::{Broken, Flaw};

#[derive(Debug)]
pub(crate) struct BrokenTicket {
    ticket: Mutex<Option<Ticket>>,
    record: Record,
    broken: Arc<Broken>,
}

impl BrokenTicket {
    pub(crate) fn new(ticket: Ticket, record: Record, broken: Arc<Broken>) -> Self {
        Self {
            ticket: Mutex::new(Some(ticket)),
            record,
            broken,
        }
    }

    fn take(&self) -> Option<Ticket> {
        self.ticket.lock().unwrap().take()
    }

    fn put_back(&self, ticket: Ticket) {
        *self.ticket.lock().unwrap() = Some(ticket);
    }

    async fn publish(&self, outputs: Vec<Record>) {
        let _ = self.broken.inner.publish(outputs).await;
    }

    /// What is wrong before the inner settle.
    async fn spoil(&self, mut outputs: Vec<Record>) -> Result<Vec<Record>, Error> {
        match self.broken.flaw {
            Flaw::SettlesWithoutOutputs => outputs.clear(),
            Flaw::OutputsForgetDelays => {
                let all = outputs.iter_mut();
                all.for_each(|output| output.not_before = None);
            }
            Flaw::PublishesOutputsLater => {
                let (inner, late) = (self.broken.inner.clone(), std::mem::take(&mut outputs));
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    let _ = inner.publish(late).await;
                });
            }
            Flaw::PublishesBeforeItSettles => {
                self.publish(vec![outputs[0].clone()]).await;
            }
            Flaw::OrdersByCompletion => {
                let number = self.broken.count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(100 / (number + 1))).await;
            }
            Flaw::SettlesOneAtATime => {
                if self.broken.busy.swap(true, Ordering::Relaxed) {
                    return Err(Error::Closed);
                }
                tokio::task::yield_now().await;
                self.broken.busy.store(false, Ordering::Relaxed);
            }
            Flaw::SettlesOnce if self.broken.busy.swap(true, Ordering::Relaxed) => {
                return Err(Error::Lost);
            }
            _ => {}
        }
        Ok(outputs)
    }
}

#[async_trait]
impl Settle for BrokenTicket {
    async fn settle(&self, _: u128, outputs: &[Record]) -> Result<(), Error> {
        let outputs = self.spoil(outputs.to_vec()).await?;
        let ticket = self.take().ok_or(Error::Lost)?;
        if self.broken.flaw == Flaw::SettlesNothing {
            self.publish(outputs).await;
            let _ = ticket.release(None);
            return Ok(());
        }
        match ticket.settle(outputs).await {
            Ok(settled) if settled.is_lost() && self.broken.flaw != Flaw::SettlesForOthers => {
                Err(Error::Lost)
            }
            Ok(_) => Ok(()),
            Err(failed) if self.broken.flaw == Flaw::SettlesWhatIsRefused => {
                let _ = failed.ticket.settle(Vec::new()).await;
                Err(failed.source)
            }
            Err(failed) => {
                self.put_back(failed.ticket);
                Err(failed.source)
            }
        }
    }

    async fn begin(&self, _: u128) -> Result<(), Error> {
        let ticket = self.take().ok_or(Error::Lost)?;
        let begun = ticket.begin().await;
        self.put_back(ticket);
        begun
    }

    fn release(&self, _: u128, not_before: Option<Timestamp>, failed: u32) {
        let Some(ticket) = self.take() else {
            return;
        };
        match self.broken.flaw {
            Flaw::ReleasesForGood => std::mem::forget(ticket),
            Flaw::IgnoresReleaseTimes => drop(ticket.release(None)),
            Flaw::ReleasesToTheEnd => {
                let again = vec![self.record.clone()];
                let _ = at_once(ticket.settle(again));
            }
            _ => drop(ticket.release_failed(not_before, failed)),
        }
    }
}

impl HandIn for BrokenTicket {
    fn hand_in(&self, mut ended: EndedDelivery) -> Result<(), EndedDelivery> {
        let flaw = self.broken.flaw;
        if flaw == Flaw::TakesNoHandIns {
            return Err(ended);
        }
        let Some(ticket) = self.take() else {
            ended.report_lost();
            return Ok(());
        };
        let outputs = ended.take_outputs();
        match flaw {
            Flaw::ReportsNoHandIn => {
                let _ = at_once(ticket.settle(outputs));
                std::mem::forget(ended);
            }
            Flaw::ReportsBeforeItPublishes => {
                let _ = at_once(ticket.settle(Vec::new()));
                let inner = self.broken.inner.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    let _ = inner.publish(outputs).await;
                });
                ended.report_settled();
            }
            Flaw::HandsInOutOfOrder | Flaw::CloseForgetsHandIns => {
                let number = self.broken.count.fetch_add(1, Ordering::Relaxed);
                let wait = Duration::from_millis(100 / (number + 1));
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    let settled = ticket.settle(outputs).await.unwrap();
                    report(ended, settled.is_lost());
                });
            }
            Flaw::HandsInForOthers => {
                let published = self.broken.inner.publish(outputs.clone());
                let settled = at_once(ticket.settle(outputs)).unwrap();
                if settled.is_lost() {
                    at_once(published).unwrap();
                }
                report(ended, settled.is_lost());
            }
            _ => match at_once(ticket.settle(outputs.clone())) {
                Ok(settled) => report(ended, settled.is_lost()),
                Err(failed) if flaw == Flaw::HandsInWhatIsRefused => {
                    let _ = at_once(failed.ticket.settle(Vec::new()));
                    ended.report_settled();
                }
                // The inner transport publishes all outputs or none.
                Err(failed) => {
                    self.put_back(failed.ticket);
                    let unpublished = (0..outputs.len()).map(|at| (at, Error::Closed));
                    let unpublished = NotPublished::new(unpublished.collect());
                    ended.report_unpublished(outputs, unpublished);
                }
            },
        }
        Ok(())
    }
}

fn report(ended: EndedDelivery, is_lost: bool) {
    match is_lost {
        true => ended.report_lost(),
        false => ended.report_settled(),
    }
}

/// The inner transport answers at once.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it is ready"),
    }
}
