//! What may happen in the world, and what tells two worlds apart.

use crate::world::World;

/// What may happen next. Indexes are taken modulo what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    /// A record is delivered; a duplicate stays on its way too.
    Deliver {
        record: usize,
        duplicate: bool,
    },
    /// An attempt ends. Its worker may crash between the write and what follows.
    End {
        attempt: usize,
        how: How,
        crash: bool,
    },
    /// A worker dies with its attempt, and its lease runs out.
    Die {
        attempt: usize,
    },
    /// A worker gives its attempt back, and the record is delivered again.
    GiveBack {
        attempt: usize,
    },
    /// A consumer that does not know the step gives its record up.
    GiveUp {
        record: usize,
    },
    /// A worker is still at it.
    Renew {
        attempt: usize,
    },
    /// The run is launched again.
    Launch,
    /// Somebody looks whether the run moves, at the time when it should have.
    Sweep {
        crash: bool,
    },
    Cancel,
    Resume,
    Retry,
    Skip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    Success,
    Again,
    Failure,
}

impl World {
    /// What may happen now, for a world that looks at everything.
    pub(crate) fn enabled(&self) -> Vec<Act> {
        let mut acts = vec![Act::Cancel, Act::Resume, Act::Retry, Act::Skip, Act::Launch];
        acts.extend([false, true].map(|crash| Act::Sweep { crash }));
        for record in 0..self.records.len() {
            acts.extend([false, true].map(|duplicate| Act::Deliver { record, duplicate }));
        }
        for attempt in 0..self.in_flight.len() {
            acts.extend([Act::Die { attempt }, Act::GiveBack { attempt }]);
            for how in [How::Success, How::Again, How::Failure] {
                acts.extend([false, true].map(|crash| Act::End {
                    attempt,
                    how,
                    crash,
                }));
            }
        }
        acts
    }

    /// What tells two worlds apart, times and versions aside.
    pub(crate) fn shape(&self) -> impl Ord + use<> {
        let progress = &self.progress;
        let mut records: Vec<_> = self.records.iter().map(|record| record.position).collect();
        records.sort_unstable();
        let mut in_flight = self.in_flight.clone();
        in_flight.sort_unstable();
        let in_flight: Vec<_> = in_flight
            .into_iter()
            .map(|attempt| {
                (
                    attempt.record.position,
                    attempt.attempt,
                    attempt.until > self.now,
                )
            })
            .collect();
        let counts = (
            progress.attempts(),
            progress.uncounted(),
            progress.crash_count(),
        );
        (
            progress.status(),
            progress.position(),
            progress.is_started(),
            counts,
            records,
            in_flight,
        )
    }
}
