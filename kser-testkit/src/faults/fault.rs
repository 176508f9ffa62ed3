use std::fmt;

use super::Kind;

/// What goes wrong at a [`Site`](super::Site).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// The consumer's process dies before the call has an effect.
    CrashBefore,
    /// The consumer's process dies after the call had its effect, and before it hears of it.
    CrashAfter,
}

const NAMES: &[(Fault, &str)] = &[
    (Fault::CrashBefore, "crash before"),
    (Fault::CrashAfter, "crash after"),
];

impl Fault {
    /// Says whether this can go wrong at a site of a kind.
    #[must_use]
    pub const fn fits(self, kind: Kind) -> bool {
        match self {
            Self::CrashBefore => true,
            // Nothing but the process itself has changed.
            Self::CrashAfter => !matches!(kind, Kind::Read | Kind::Await),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = NAMES.iter().find(|(fault, _)| fault == self);
        f.write_str(named.map_or("", |(_, name)| name))
    }
}

impl Fault {
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
