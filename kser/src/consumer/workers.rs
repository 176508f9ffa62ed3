use std::sync::Arc;

use kser_core::Settled;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinError, JoinSet};

use super::delivery::process::{End, ReturnedWork, finish_relayed, finish_returned, process};
use super::handed_in::{HandInPlace, HandedInDelivery};
use super::lanes::Turn;
use super::processor::Processor;

/// The largest number of workers that wait for work. Others end with their delivery.
const IDLE: usize = 1024;

/// The workers of a consumer: tasks that stand ready, each of which works on one delivery at a time. There is one for each
/// delivery that runs, is being settled or waits in hand; the one that was the last to finish is the next to start.
#[derive(Debug)]
pub(crate) struct Workers {
    processor: Arc<Processor>,
    tasks: JoinSet<()>,
    idle: Vec<Worker>,
    busy: usize,
    /// Where a worker tells that its delivery is finished.
    reports: UnboundedSender<Report>,
    reported: UnboundedReceiver<Report>,
}

/// A worker that waits for work. Dropped, it ends.
#[derive(Debug)]
struct Worker(UnboundedSender<Box<Work>>);

/// A delivery to work on, its place to run, and the worker, which its report gives back.
#[derive(Debug)]
struct Work {
    job: Job,
    number: HandInPlace,
    worker: Worker,
}

/// The task of a worker.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "works are boxed")]
enum Job {
    Process(Turn, OwnedSemaphorePermit),
    FinishReturned(ReturnedWork),
    FinishRelayed(Box<HandedInDelivery>, Settled),
}

/// The end of the work of a worker on a delivery, and the worker, which is idle again.
#[derive(Debug)]
struct Report {
    end: End,
    number: u64,
    worker: Worker,
}

impl Workers {
    pub(crate) fn new(processor: Arc<Processor>) -> Self {
        let (reports, reported) = unbounded_channel();
        Self {
            processor,
            tasks: JoinSet::new(),
            idle: Vec::new(),
            busy: 0,
            reports,
            reported,
        }
    }

    /// Says whether no worker has a delivery.
    pub(crate) const fn is_idle(&self) -> bool {
        self.busy == 0
    }

    /// Has a worker work on a delivery, which then needs one place less.
    pub(crate) fn start(&mut self, turn: Turn, place: OwnedSemaphorePermit, number: HandInPlace) {
        self.work(Job::Process(turn, place), number);
    }

    /// Has a worker finish a delivery that was handed in and given back.
    pub(crate) fn finish_returned(&mut self, returned: ReturnedWork, number: HandInPlace) {
        self.work(Job::FinishReturned(returned), number);
    }

    /// Has a worker mark the outputs of a settled delivery as relayed.
    pub(crate) fn finish_relayed(
        &mut self,
        delivery: Box<HandedInDelivery>,
        settled: Settled,
        number: HandInPlace,
    ) {
        self.work(Job::FinishRelayed(delivery, settled), number);
    }

    fn work(&mut self, job: Job, number: HandInPlace) {
        let worker = self.idle.pop().unwrap_or_else(|| self.hire());
        let works = worker.0.clone();
        self.busy += 1;
        // It fails only while the runtime shuts down, which drops the worker.
        let _ = works.send(Box::new(Work {
            job,
            number,
            worker,
        }));
    }

    /// Waits for a delivery to be finished; for ever while no worker has one.
    ///
    /// # Panics
    ///
    /// Panics with the panic of a worker.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn finished(&mut self) -> (u64, End) {
        loop {
            tokio::select! {
                biased;
                Some(report) = self.reported.recv() => return self.accept(report),
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => resume(ended),
            }
        }
    }

    /// Returns a delivery that is finished already.
    pub(crate) fn try_finished(&mut self) -> Option<(u64, End)> {
        let report = self.reported.try_recv().ok()?;
        Some(self.accept(report))
    }

    /// Ends the workers that are idle, and waits until they have ended.
    pub(crate) async fn end(&mut self) {
        self.idle.clear();
        while let Some(ended) = self.tasks.join_next().await {
            resume(ended);
        }
    }

    fn accept(&mut self, report: Report) -> (u64, End) {
        self.busy -= 1;
        if self.idle.len() < IDLE {
            self.idle.push(report.worker);
        }
        (report.number, report.end)
    }

    fn hire(&mut self) -> Worker {
        let (worker, mut works) = unbounded_channel::<Box<Work>>();
        let (processor, reports) = (Arc::clone(&self.processor), self.reports.clone());
        self.tasks.spawn(async move {
            while let Some(work) = works.recv().await {
                let Work {
                    job,
                    number: place,
                    worker,
                } = *work;
                let number = place.number;
                let end = match job {
                    Job::Process(turn, permit) => process(&processor, turn, permit, place).await,
                    Job::FinishRelayed(delivery, settled) => {
                        finish_relayed(&processor, *delivery, settled).await
                    }
                    Job::FinishReturned(returned) => {
                        Box::pin(finish_returned(&processor, returned)).await
                    }
                };
                // It fails only when the consumer has ended.
                let _ = reports.send(Report {
                    end,
                    number,
                    worker,
                });
            }
        });
        Worker(worker)
    }
}

fn resume(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
