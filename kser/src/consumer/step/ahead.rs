use std::time::Duration;

use kser_core::{Error, RunId};

use crate::consumer::delivery::dead_letter;
use crate::consumer::delivery::disposition::Disposition;
use crate::consumer::delivery::state::DeliveryState;
use crate::consumer::options::LOOK_AGAIN;

/// How long a message waits in hand for a store that lags.
const A_MOMENT: Duration = Duration::from_secs(1);

/// Acknowledges a message of a run that was purged, or of an earlier run of its id: it comes late, and changes nothing.
pub(crate) fn late(run: Option<&RunId>) -> Disposition {
    tracing::info!(target: "kser", ?run, "a message of a purged run came late, and changes nothing");
    Disposition::ack()
}

/// Defers a message that is ahead of the state of its run, as after the restore of a backup: in hand at first, for a
/// store that lags, then in a delayed record. After as long as an unknown entrypoint waits it is a dead letter, and
/// its run goes on from where it stands.
pub(crate) fn defer_ahead(
    state: &mut DeliveryState<'_>,
    run: Option<&RunId>,
    position: u32,
) -> Result<Disposition, Error> {
    let processor = state.processor;
    if !state.may_wait() {
        let error = format!("the run stands at step {position}, before the one of this message");
        let dead_letter = dead_letter::write_within(&state.tracked, 0, &*error, &processor.shared)?;
        return Ok(Disposition::ack_with(vec![dead_letter]));
    }
    let now = processor.shared.clock.now();
    let waited = state.tracked.waits_since.map(|since| now.since(since));
    if waited.unwrap_or_default() < processor.options.longest_park {
        return Ok(Disposition::RetryIn(A_MOMENT));
    }
    tracing::warn!(target: "kser", ?run, position, "a message is ahead of the state of its run; looking again in {LOOK_AGAIN:?}");
    Ok(state.look_again())
}
