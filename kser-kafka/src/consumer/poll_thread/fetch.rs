use std::time::{Duration, Instant};

use super::{EndReason, PollThread};
use crate::clock::monotonic;
use crate::member::ArrivalOutcome;

/// The greatest number of messages that are taken in one poll.
const POLL_BATCH: usize = 512;
/// The time for which the inbox must stay full before partitions are paused. A pause discards the prefetched messages, so that
/// short peaks are waited out.
const PAUSE_AFTER: Duration = Duration::from_millis(500);

impl PollThread {
    /// Takes messages from the client. Returns whether there were any.
    pub(super) fn fetch(&mut self) -> Result<bool, EndReason> {
        let mut room = self.context.channel.room();
        self.crowded = match self.crowded {
            None if room == 0 => Some(monotonic()),
            // Paused partitions stay paused until the inbox is half empty, since each pause discards the prefetched messages.
            Some(since) if is_long_crowded(since) && !self.context.channel.has_room() => {
                Some(since)
            }
            Some(since) if room == 0 => Some(since),
            _ => None,
        };
        match self.crowded {
            // Only events arrive, which must be served.
            Some(since) if is_long_crowded(since) => room = POLL_BATCH,
            Some(_) => return Ok(false),
            None => {}
        }
        let (mut fetched, mut nothing) = (0, 0);
        // One reading for all, since a fetch does not wait.
        let now = self.context.member().now();
        // After an event that is no message, there may be a message without a wake-up.
        while fetched < POLL_BATCH.min(room) && nothing < 2 {
            let polled = self.consumer.poll(Duration::ZERO);
            self.log_resets.look(&self.consumer, &self.context);
            match polled {
                Some(Ok(message)) => {
                    fetched += 1;
                    let arrived = self.context.member().receive_message(&message, now);
                    if arrived == ArrivalOutcome::WentBack {
                        self.recreated_topics.look(&self.consumer, &self.context);
                        let (log_resets, context) = (&mut self.log_resets, &self.context);
                        log_resets.begin_anew(&self.consumer, context, &message);
                    }
                }
                Some(Err(error)) => self.handle_error(error)?,
                None => nothing += 1,
            }
        }
        if nothing == 2 {
            self.context.note_drained();
        }
        if fetched > 0 {
            self.health.note_answer();
        }
        Ok(fetched > 0)
    }
}

/// Says whether the inbox has been crowded for so long that the partitions are paused.
pub(super) fn is_long_crowded(crowded: Instant) -> bool {
    crowded.elapsed() >= PAUSE_AFTER
}
