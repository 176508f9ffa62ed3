use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::TaskError;

/// Runs a future; a panic inside it becomes an error with code 500 and the panic's text.
///
/// # Errors
///
/// What the future returns, or the panic.
pub async fn catch_panic<T, F>(future: F) -> Result<T, TaskError>
where
    F: Future<Output = Result<T, TaskError>>,
{
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        polled.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            let text = text.unwrap_or_else(|| "no message".to_owned());
            Poll::Ready(Err(TaskError::internal(format!("panic: {text}"))))
        })
    })
    .await
}
