use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use kser_core::{Cancellation, TaskError};
use tokio::time::{Instant, sleep_until};

use super::lease::{Kept, Lease};

/// The cancellations that may end an attempt before its handler does.
#[derive(Debug)]
pub(crate) struct Bounds<'a> {
    /// Told to the handler.
    pub(crate) told: &'a Cancellation,
    /// The delivery goes to another member.
    pub(crate) revoked: &'a Cancellation,
    /// The deadline of a stop has passed: the handler should end.
    pub(crate) cancel: &'a Cancellation,
    /// The last call of a stop has passed: the handler is dropped.
    pub(crate) kill: &'a Cancellation,
    /// The timeout of the attempt.
    pub(crate) limit: Duration,
}

/// The end of an attempt.
#[derive(Debug)]
pub(crate) enum Ended<T> {
    /// The handler returned.
    Returned(Result<T, TaskError>),
    /// The handler exceeded its timeout, and was dropped.
    Overdue(TaskError),
    /// The attempt was released, since the consumer stops.
    Interrupted,
    /// Another consumer has the step now: the outcome of this attempt is discarded.
    Lost,
}

/// Runs a handler within its bounds, and keeps its lease alive.
///
/// A handler that is ready at once costs no timer.
pub(crate) async fn run<T>(
    handler: impl Future<Output = Result<T, TaskError>>,
    bounds: Bounds<'_>,
    lease: &mut Lease<'_>,
) -> Ended<T> {
    let mut handler = pin!(handler);
    let first = std::future::poll_fn(|cx| Poll::Ready(handler.as_mut().poll(cx))).await;
    if let Poll::Ready(returned) = first {
        return Ended::Returned(returned);
    }
    let mut limit = pin!(sleep_until(at(bounds.limit)));
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            returned = &mut handler => return Ended::Returned(returned),
            () = bounds.kill.cancelled() => return Ended::Interrupted,
            () = &mut limit => {
                bounds.told.cancel();
                return Ended::Overdue(too_long(bounds.limit));
            }
            () = bounds.revoked.cancelled(), if !told => told = true,
            () = bounds.cancel.cancelled(), if !told => told = true,
            kept = Box::pin(lease.keep()) => match kept {
                Kept::Ours => {}
                Kept::Unwanted => told = true,
                Kept::Lost => {
                    bounds.told.cancel();
                    return Ended::Lost;
                }
            },
        }
        if told {
            bounds.told.cancel();
        }
    }
}

/// A limit may be so long that its end cannot be told: then it ends in thirty years.
fn at(limit: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    Instant::now() + limit.min(FAR)
}

fn too_long(limit: Duration) -> TaskError {
    let text = format!("the attempt took longer than its limit of {limit:?}");
    TaskError::new("TimeLimit", text).with_code(408)
}
