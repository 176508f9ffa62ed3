use std::mem;

use kser_core::{EndedDelivery, Error, NotPublished, Record, Settling};
use tokio::task::AbortHandle;

use super::mark::Mark;
use super::port::Port;
use super::settling::SimSettle;

/// The deliveries that a life of a process has handed in.
///
/// A task settles them in batches, in their order: those that are handed in while a batch is on its way are the next one.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Vec<HandedIn>,
    /// Set while the task settles them.
    is_busy: bool,
    task: Option<AbortHandle>,
    /// The number of deliveries that are handed in, and whose result is not reported.
    pub(crate) unreported: usize,
}

/// A delivery that was handed in.
#[derive(Debug)]
pub(crate) struct HandedIn {
    pub(crate) settle: SimSettle,
    pub(crate) ended: EndedDelivery,
}

/// The end of a delivery that was handed in.
#[derive(Debug)]
enum End {
    Settled,
    Lost,
    /// These outputs are not published, or the delivery is not acknowledged.
    Returned(Vec<(usize, Error)>),
}

impl HandedIn {
    /// Hands the delivery in.
    pub(crate) fn enter(self, port: &Port) {
        let is_first = port.shared.with(|state| {
            let Some(life) = state.lives.get_mut(port.life) else {
                return false;
            };
            life.outbox.unreported += 1;
            life.outbox.waiting.push(self);
            !mem::replace(&mut life.outbox.is_busy, true)
        });
        if is_first {
            let task = tokio::spawn(empty(port.clone())).abort_handle();
            port.shared.with(|state| {
                if let Some(life) = state.lives.get_mut(port.life) {
                    life.outbox.task = Some(task);
                }
            });
        }
    }
}

impl Outbox {
    /// Ends with its process. The deliveries that are returned are to be dropped without the lock.
    #[must_use]
    pub(crate) fn end(&mut self) -> Vec<HandedIn> {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        mem::take(&mut self.waiting)
    }
}

/// Settles the deliveries of an outbox until it is empty.
async fn empty(port: Port) {
    loop {
        let batch = port.shared.with(|state| {
            let outbox = state.lives.get_mut(port.life).map(|life| &mut life.outbox);
            let batch = outbox.map(|outbox| {
                let batch = mem::take(&mut outbox.waiting);
                outbox.is_busy = !batch.is_empty();
                batch
            });
            batch.unwrap_or_default()
        });
        if batch.is_empty() {
            return;
        }
        let count = batch.len();
        if count > 1 {
            let shown = format!("settles a batch of {count} deliveries");
            port.shared
                .timed(|state| port.note(state, Mark::default(), shown));
        }
        let ends = settle(&port, &batch).await;
        port.shared.with(|state| {
            if let Some(life) = state.lives.get_mut(port.life) {
                life.outbox.unreported -= count;
            }
        });
        for (handed_in, end) in batch.into_iter().zip(ends) {
            report(handed_in.ended, end);
        }
    }
}

/// Settles a batch: publishes the outputs of all its deliveries, then acknowledges those whose outputs are published, or both
/// together, one delivery after another.
async fn settle(port: &Port, batch: &[HandedIn]) -> Vec<End> {
    let settling = port
        .shared
        .with(|state| state.broker.setup.settling(port.life));
    let mut ends = Vec::with_capacity(batch.len());
    if settling == Settling::Together {
        for HandedIn { settle, ended } in batch {
            let settled = settle.settle_together(ended.id(), ended.outputs()).await;
            ends.push(match settled {
                Ok(()) => End::Settled,
                Err(Error::Lost) => End::Lost,
                Err(_) => End::Returned(all(ended.outputs())),
            });
        }
        return ends;
    }
    for HandedIn { settle, ended } in batch {
        let refused = settle.publish_fitting(ended.id(), ended.outputs()).await;
        ends.push(match refused {
            Ok(refused) if refused.is_empty() => End::Settled,
            Ok(refused) => End::Returned(refused),
            Err(Error::Lost) => End::Lost,
            Err(_) => End::Returned(all(ended.outputs())),
        });
    }
    for (HandedIn { settle, ended }, end) in batch.iter().zip(&mut ends) {
        if matches!(end, End::Settled) {
            *end = match settle.acknowledge(ended.id()).await {
                Ok(()) => End::Settled,
                Err(Error::Lost) => End::Lost,
                Err(_) => End::Returned(Vec::new()),
            };
        }
    }
    ends
}

/// Returns the positions of all outputs, of which it is not known whether they are published.
fn all(outputs: &[Record]) -> Vec<(usize, Error)> {
    let positions = 0..outputs.len();
    positions
        .map(|position| (position, super::broken()))
        .collect()
}

fn report(mut ended: EndedDelivery, end: End) {
    match end {
        End::Settled => ended.report_settled(),
        End::Lost => ended.report_lost(),
        End::Returned(unpublished) => {
            let outputs = ended.take_outputs();
            ended.report_unpublished(outputs, NotPublished::new(unpublished));
        }
    }
}
