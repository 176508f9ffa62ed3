use std::fmt::Debug;

use async_trait::async_trait;

use crate::{Error, Outcome, RunId};

/// Waits for runs on behalf of a handler. A consumer gives one to each [`Context`](crate::Context).
#[async_trait]
pub trait AwaitRun: Debug + Send + Sync + 'static {
    /// Waits until a run has ended, and returns its outcome if it succeeded.
    ///
    /// # Errors
    ///
    /// [`Error::Unsuccessful`] for a run that failed or was cancelled, [`Error::UnknownRun`] or [`Error::NeedsStore`] for
    /// a run that cannot be waited for, and the errors of the backends.
    async fn result_of(&self, run: &RunId) -> Result<Outcome, Error>;
}
