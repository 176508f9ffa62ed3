use std::fmt;
use std::time::Duration;

use super::Kind;

/// A kind of fault at a [`Site`](super::Site). The milder kinds come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// The record is delivered 5 seconds later.
    Delay,
    /// The record is published a second time, as by a producer that tried again.
    Duplicate,
    /// Another consumer joins.
    Join,
    /// The partitions are given to other members.
    Rebalance,
    /// The consumer is asked to stop, and started again after it has.
    Leave,
    /// The machine of the process is started again, with a clock that is a minute ahead.
    ClockJump,
    /// The call fails, and has no effect.
    Reject,
    /// The call has its effect, and fails: its caller cannot know.
    Unknown,
    /// Half of the records are published, and the call fails.
    Partial,
    /// The call takes 40 seconds, longer than a lease or a session.
    Hang,
    /// The handler panics.
    Panic,
    /// The broker, or the store, refuses all calls for 20 seconds.
    OutageFails,
    /// The broker, or the store, answers no call for 20 seconds.
    OutageHangs,
    /// The process stands still for 60 seconds, and is taken for dead; then it goes on as if nothing had been.
    Freeze,
    /// The consumer's process dies after the call had its effect, and before it hears of it.
    CrashAfter,
    /// The consumer's process dies before the call has an effect.
    CrashBefore,
    /// All consumers die.
    CrashAll,
}

const NAMES: &[(Fault, &str)] = &[
    (Fault::Delay, "delay"),
    (Fault::Duplicate, "duplicate"),
    (Fault::Join, "join at"),
    (Fault::Rebalance, "rebalance at"),
    (Fault::Leave, "leave at"),
    (Fault::ClockJump, "clock jump at"),
    (Fault::Reject, "reject"),
    (Fault::Unknown, "unknown"),
    (Fault::Partial, "partial"),
    (Fault::Hang, "hang"),
    (Fault::Panic, "panic at"),
    (Fault::OutageFails, "outage that fails from"),
    (Fault::OutageHangs, "outage that hangs from"),
    (Fault::Freeze, "freeze at"),
    (Fault::CrashAfter, "crash after"),
    (Fault::CrashBefore, "crash before"),
    (Fault::CrashAll, "crash all at"),
];

impl Fault {
    /// Describes the fault in a sentence.
    #[cfg(feature = "html")]
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Delay => "The record is delivered 5 seconds later.",
            Self::Duplicate => {
                "The record is published a second time, as by a producer that tried again."
            }
            Self::Join => "Another consumer joins.",
            Self::Rebalance => "The partitions are given to other members.",
            Self::Leave => "The consumer is asked to stop, and started again after it has.",
            Self::ClockJump => {
                "The machine of the process is started again, with a clock that is a minute ahead."
            }
            Self::Reject => "The call fails, and has no effect.",
            Self::Unknown => "The call has its effect, and fails: its caller cannot know.",
            Self::Partial => "Half of the records are published, and the call fails.",
            Self::Hang => "The call takes 40 seconds, longer than a lease or a session.",
            Self::Panic => "The handler panics.",
            Self::OutageFails => "The broker, or the store, refuses all calls for 20 seconds.",
            Self::OutageHangs => "The broker, or the store, answers no call for 20 seconds.",
            Self::Freeze => {
                "The process stands still for 60 seconds, and is taken for dead; then it goes on as if nothing had been."
            }
            Self::CrashAfter => {
                "The consumer's process dies after the call had its effect, and before it hears of it."
            }
            Self::CrashBefore => "The consumer's process dies before the call has an effect.",
            Self::CrashAll => "All consumers die.",
        }
    }

    /// How long a delivery is delayed.
    pub(crate) const DELAY: Duration = Duration::from_secs(5);
    /// How far a clock jumps.
    pub(crate) const JUMP: Duration = Duration::from_secs(60);
    /// How long a call hangs.
    pub(crate) const HANG: Duration = Duration::from_secs(40);
    /// How long an outage lasts.
    pub(crate) const OUTAGE: Duration = Duration::from_secs(20);
    /// How long a process stands still.
    pub(crate) const FREEZE: Duration = Duration::from_secs(60);

    /// Lists all faults, the mildest first.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(fault, _)| *fault)
    }

    /// Says whether this can go wrong at a site of a kind.
    #[must_use]
    pub const fn fits(self, kind: Kind) -> bool {
        use Kind::{
            Await, Begin, Close, Commit, Effect, Publish, Read, Receive, Settle, Subscribe, Write,
        };
        match self {
            Self::Delay | Self::Duplicate => matches!(kind, Receive),
            Self::Join | Self::ClockJump => matches!(kind, Receive | Effect | Write),
            Self::Rebalance => !matches!(kind, Await | Close | Read | Subscribe),
            Self::Leave | Self::Freeze => !matches!(kind, Await | Close | Subscribe),
            Self::Reject => !matches!(kind, Await | Close | Receive),
            Self::Unknown => matches!(kind, Publish | Settle | Commit | Begin | Write | Effect),
            Self::Partial => matches!(kind, Publish),
            Self::Hang => matches!(kind, Publish | Settle | Commit | Read | Write | Effect),
            Self::Panic => matches!(kind, Await | Effect),
            Self::OutageFails | Self::OutageHangs => !matches!(kind, Await | Effect | Close),
            // Nothing but the process itself has changed.
            Self::CrashAfter => !matches!(kind, Read | Await),
            Self::CrashBefore => true,
            Self::CrashAll => matches!(kind, Publish | Settle | Commit | Write | Effect),
        }
    }

    /// Reads a fault from the beginning of a text, and returns the rest of it.
    pub(crate) fn parse(text: &str) -> Result<(Self, &str), String> {
        let mut known = NAMES.iter();
        let found = known.find_map(|(fault, name)| {
            let rest = text.strip_prefix(name)?.strip_prefix(' ')?;
            Some((*fault, rest))
        });
        found.ok_or_else(|| {
            let known: Vec<&str> = NAMES.iter().map(|(_, name)| *name).collect();
            format!("{text:?} is not a fault; there is {}", known.join(", "))
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = NAMES.iter().find(|(fault, _)| fault == self);
        f.write_str(named.map_or("", |(_, name)| name))
    }
}
