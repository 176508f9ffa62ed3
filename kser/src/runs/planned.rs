use std::ops::RangeInclusive;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use kser_core::sequencing::PlannedStep;
use kser_core::{Error, RunId};

use super::Runs;

/// The number of steps that are read at the same time.
const AT_ONCE: usize = 16;

impl Runs {
    /// Returns the planned steps at these positions, counted from 1, in their order. Positions without a step are left out, and a run
    /// that is not built has none.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status), but for an unknown id, which has no steps.
    pub async fn planned_steps(
        &self,
        id: &RunId,
        positions: RangeInclusive<u32>,
    ) -> Result<Vec<PlannedStep>, Error> {
        let store = self.stored("steps")?.store;
        let read = stream::iter(positions).map(|position| store.step(id, position));
        let read = read.buffered(AT_ONCE);
        // After the first position without a step there are no others.
        let steps = read.try_take_while(|step| {
            let goes_on = step.is_some();
            async move { Ok(goes_on) }
        });
        let steps: Vec<_> = steps.try_collect().await?;
        Ok(steps.into_iter().flatten().collect())
    }
}
