use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use crate::TaskError;

/// Runs a future; a panic in it becomes an error with code 500 and the text of the panic.
///
/// `FutureExt::catch_unwind` of the futures crate does not guard the drop of the future, which runs code of the handler
/// too, as when an attempt is dropped at its time limit.
///
/// # Errors
///
/// The error of the future, or of the panic.
///
/// # Cancel safety
///
/// Dropping the returned future drops the inner one. A panic in that drop is logged, and goes no further.
pub async fn catch_panic<T, F>(future: F) -> Result<T, TaskError>
where
    F: Future<Output = Result<T, TaskError>>,
{
    let mut guarded = Guarded(Some(Box::pin(future)));
    std::future::poll_fn(|cx| match &mut guarded.0 {
        Some(future) => {
            catch(|| future.as_mut().poll(cx)).unwrap_or_else(|panic| Poll::Ready(Err(panic)))
        }
        None => Poll::Pending,
    })
    .await
}

/// Calls a function; its panic becomes an error.
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, TaskError> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        discard(panic);
        let text = text.unwrap_or_else(|| "no message".to_owned());
        TaskError::internal(format!("panic: {text}"))
    })
}

/// Drops the payload of a panic, which is of any type and may panic itself.
fn discard(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}

/// A future whose drop may panic, such as an attempt that is dropped at its time limit.
struct Guarded<F>(Option<Pin<Box<F>>>);

impl<F> Drop for Guarded<F> {
    fn drop(&mut self) {
        let future = self.0.take();
        if let Err(error) = catch(|| drop(future)) {
            tracing::error!(target: "kser", "dropping a handler panicked: {}", crate::log::clean(error.message(), 1000));
        }
    }
}
