use std::sync::Arc;
use std::time::Duration;

use kser_core::HandInReports;
use tokio::task::{JoinError, JoinSet, coop, yield_now};
use tokio::time::Instant;

use super::delivery::process::{EndedJob, finish_returned, mark_published, process};
use super::handed_in::HandInPlace;
use super::processor::Processor;
use super::work_queue::{Job, Next, WorkQueue};

/// The time after which a worker with one delivery after another lets other tasks of the runtime run.
const TURN: Duration = Duration::from_millis(1);

/// The workers of a consumer: tasks that stand ready and pull deliveries from the queue, each of which works on one at a time.
/// There is one for each delivery that runs, is being settled or waits in hand.
#[derive(Debug)]
pub(crate) struct Workers {
    crew: Arc<Crew>,
    tasks: JoinSet<()>,
}

/// The parts that workers share.
#[derive(Debug)]
struct Crew {
    processor: Arc<Processor>,
    queue: Arc<WorkQueue>,
    results: Arc<dyn HandInReports>,
}

impl Workers {
    pub(crate) fn new(
        processor: Arc<Processor>,
        queue: Arc<WorkQueue>,
        results: Arc<dyn HandInReports>,
    ) -> Self {
        Self {
            crew: Arc::new(Crew {
                processor,
                queue,
                results,
            }),
            tasks: JoinSet::new(),
        }
    }

    /// Starts a worker.
    pub(crate) fn hire(&mut self) {
        self.tasks.spawn(serve(Arc::clone(&self.crew)));
    }

    /// Waits for the panic of a worker, and resumes it; for ever while none panics.
    ///
    /// # Panics
    ///
    /// Panics with the panic of a worker.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn panic(&mut self) {
        loop {
            match self.tasks.join_next().await {
                Some(ended) => resume(ended),
                None => std::future::pending().await,
            }
        }
    }

    /// Waits until all workers have ended.
    ///
    /// # Panics
    ///
    /// Panics with the panic of a worker.
    pub(crate) async fn end(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            resume(ended);
        }
    }
}

/// Works until the queue is closed.
async fn serve(crew: Arc<Crew>) {
    loop {
        let mut ended = None;
        let mut since = Instant::now();
        loop {
            match crew.queue.next(ended.take()) {
                Next::Work(job) => ended = Some(crew.work(job).await),
                Next::Idle => break,
                Next::Leave => return,
            }
            // A worker whose handlers never wait would keep its thread.
            if since.elapsed() >= TURN {
                yield_now().await;
                since = Instant::now();
            }
            coop::consume_budget().await;
        }
        if !crew.queue.called().await {
            return;
        }
    }
}

impl Crew {
    async fn work(&self, job: Job) -> EndedJob {
        let processor = &*self.processor;
        match job {
            Job::Process {
                turn,
                place,
                number,
            } => {
                let hand_in = HandInPlace {
                    number,
                    results: &self.results,
                };
                process(processor, turn, place, hand_in).await
            }
            Job::MarkRelayed(outputs) => mark_published(processor, &outputs).await,
            Job::FinishReturned(returned, number) => {
                Box::pin(finish_returned(processor, returned, number)).await
            }
        }
    }
}

fn resume(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
