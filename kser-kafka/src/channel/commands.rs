use kser_core::{Error, Timestamp};
use tokio::sync::oneshot;

use super::RecordId;

/// The commands of the subscription and its tickets to the poll thread.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    /// Records that were settled.
    pub(crate) done: Vec<RecordId>,
    /// Records that were released: not to be delivered before a time, and after how many failed attempts.
    pub(crate) released: Vec<(RecordId, Option<Timestamp>, u32)>,
    /// Delayed records that could not be forwarded, and why.
    pub(crate) unsent: Vec<(RecordId, Error)>,
    /// Suspected poison messages that may run once a commit names them.
    pub(crate) begun: Vec<(RecordId, oneshot::Sender<Result<(), Error>>)>,
    pub(crate) close: Option<oneshot::Sender<Result<(), Error>>>,
    /// The close does not wait until the received records are settled.
    pub(crate) at_once: bool,
    /// The subscription was dropped.
    pub(crate) dropped: bool,
}
