use std::sync::Arc;

use tokio::sync::watch;

/// Ends the streams of browsers, which would hold up a graceful shutdown of the server for ever. Cloning is cheap.
///
/// ```no_run
/// # async fn serve(ops: kser_ops::Ops, gate: kser_web::Gate, listener: tokio::net::TcpListener) -> std::io::Result<()> {
/// use kser_web::{StreamsEnd, WebOptions};
///
/// let end = StreamsEnd::new();
/// let pages = kser_web::router(ops, WebOptions::new(gate).with_streams_end(&end));
/// let stop = async move {
///     tokio::signal::ctrl_c().await.ok();
///     end.now();
/// };
/// axum::serve(listener, pages).with_graceful_shutdown(stop).await
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct StreamsEnd {
    ended: Arc<watch::Sender<bool>>,
}

impl StreamsEnd {
    /// Makes the end of streams that go on.
    #[must_use]
    pub fn new() -> Self {
        Self {
            ended: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Ends all streams, and refuses others.
    pub fn now(&self) {
        self.ended.send_replace(true);
    }

    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Waits for the end.
    pub(crate) async fn wait(&self) {
        let mut ended = self.ended.subscribe();
        // The sender is kept by this value.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

impl Default for StreamsEnd {
    fn default() -> Self {
        Self::new()
    }
}
