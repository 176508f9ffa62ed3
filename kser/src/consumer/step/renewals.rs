use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinSet;

use crate::consumer::processor::Processor;

/// The renewals of the leases of a consumer, until this is dropped.
///
/// A handler that does not yield blocks a worker thread of the runtime. The task that this worker would poll next waits with it
/// (tokio does not let other workers take it), and so do all timers if this worker was the one that waited for them. Hence a
/// thread outside of the runtime finds the leases that are due, and spawns their renewals, which an idle worker then polls. A
/// runtime with a single thread has no other worker, and its timers suffice.
#[derive(Debug)]
pub(crate) struct Renewals {
    _task: JoinSet<()>,
    _thread: Option<Sender<()>>,
}

impl Renewals {
    /// Starts to renew. A consumer without a store has no leases.
    pub(crate) fn start(processor: &Arc<Processor>) -> Self {
        let mut task = JoinSet::new();
        let mut thread = None;
        if processor.shared.store.is_some() {
            thread = start_thread(processor);
            if thread.is_none() {
                let processor = Arc::clone(processor);
                task.spawn(async move { processor.leases.keep().await });
            }
        }
        Self {
            _task: task,
            _thread: thread,
        }
    }
}

/// Starts the thread where the runtime has several workers. Returns the sender that ends the thread by being dropped.
fn start_thread(processor: &Arc<Processor>) -> Option<Sender<()>> {
    let runtime = Handle::current();
    if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
        return None;
    }
    let processor = Arc::clone(processor);
    let (sender, ended) = channel();
    let thread = thread::Builder::new().name("kser-leases".to_owned());
    match thread.spawn(move || renew(&processor, &runtime, &ended)) {
        Ok(_) => Some(sender),
        Err(error) => {
            tracing::warn!(target: "kser", %error, "starting the thread that renews leases failed; a handler that blocks its thread may hold up renewals");
            None
        }
    }
}

fn renew(processor: &Processor, runtime: &Handle, ended: &Receiver<()>) {
    let period = processor.leases.period();
    let mut renewals = JoinSet::new();
    while ended.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
        processor.leases.renew_due(&mut renewals, runtime);
    }
}
