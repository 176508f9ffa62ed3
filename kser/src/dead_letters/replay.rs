use kser_core::{Error, Origin};

use super::DeadLetters;
use crate::dead_letter::DeadLetter;

/// The result of [`DeadLetters::replay_all`]. All dead letters but the replayed ones stay, and come again in the next session.
#[derive(Debug, Default)]
#[non_exhaustive]
#[must_use = "it has the dead letters that could not be replayed"]
pub struct ReplayReport {
    /// The number of dead letters that were replayed.
    pub replayed: usize,
    /// The number of dead letters that the filter left out.
    pub skipped: usize,
    /// The dead letters whose replay failed, in their order.
    pub failed: Vec<FailedReplay>,
    /// The number of dead letters that were not tried, because the failure before them was temporary, such as of a backend that
    /// does not answer.
    pub untried: usize,
}

/// A dead letter whose replay failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct FailedReplay {
    /// The topic of the dead letters, prefix included.
    pub topic: String,
    /// The place of the dead letter in that topic.
    pub origin: Origin,
    /// The reason, as from [`DeadLetter::replay`].
    pub error: Error,
}

impl DeadLetters {
    /// Replays the dead letters for which `filter` returns `true`, in their order, each once.
    ///
    /// The dead letters are those that [`list`](Self::list) without a limit returns: all are received, and held in memory, before
    /// the first is replayed. A message that fails again becomes another dead letter ([`DeadLetter::replays`] counts), which
    /// this call does not touch. Nor does it touch dead letters that this session has returned before.
    ///
    /// A dead letter that cannot be replayed, such as that of a run that was repaired otherwise, is in the report and holds back no
    /// other. After a temporary error, such as of a backend that does not answer, the rest is not tried.
    ///
    /// ```
    /// # async fn replay(kser: kser::Client) -> Result<(), kser::Error> {
    /// let mut letters = kser.dead_letters("image").await?;
    /// let report = letters.replay_all(|letter| letter.replays() < 3).await?;
    /// println!("{} are replayed", report.replayed);
    /// for failed in &report.failed {
    ///     println!("{:?} stays: {}", failed.origin, failed.error);
    /// }
    /// letters.close().await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the transport does not answer before the first replay.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no dead letter. The replays that it has made stay, that of the dead letter in hand is as a dropped
    /// [`DeadLetter::replay`], and all other dead letters come again in the next session.
    pub async fn replay_all(
        &mut self,
        mut filter: impl FnMut(&DeadLetter) -> bool,
    ) -> Result<ReplayReport, Error> {
        let mut report = ReplayReport::default();
        let mut is_down = false;
        for letter in self.list(usize::MAX).await? {
            if !filter(&letter) {
                report.skipped += 1;
                continue;
            }
            if is_down {
                report.untried += 1;
                continue;
            }
            let (topic, origin) = letter.place().clone();
            match letter.replay().await {
                Ok(()) => report.replayed += 1,
                Err(error) => {
                    is_down = error.is_temporary();
                    let topic = topic.to_string();
                    report.failed.push(FailedReplay {
                        topic,
                        origin,
                        error,
                    });
                }
            }
        }
        Ok(report)
    }
}
