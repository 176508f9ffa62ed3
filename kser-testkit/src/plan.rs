//! A run as a value, which can be written down and made again.

use std::fmt;
use std::str::FromStr;

use crate::faults::{Fault, Site};

/// The version of the text form. It changes with the meaning of the numbers.
const VERSION: &str = "v1";

/// The example in the error about a text that cannot be read.
const EXAMPLE: &str = "v1 | crash after Checkout#1/2.Charge/commit/1 | 0 0 1";

/// The faults and the decisions of a run.
///
/// Its text is `v1 | <faults> | <decisions>`, such as `v1 | crash after Checkout#1/2.Charge/commit/1 | 0 0 1`. Faults are
/// separated by semicolons, and decisions that are missing are 0, the most boring.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The faults, each with its site.
    pub faults: Vec<(Site, Fault)>,
    /// The decisions, one for each choice between events that could come next. Decisions that are missing are 0, the most boring.
    pub picks: Vec<u32>,
}

impl Plan {
    /// Makes a plan with these faults, in the usual order of events.
    #[must_use]
    pub const fn new(faults: Vec<(Site, Fault)>) -> Self {
        let picks = Vec::new();
        Self { faults, picks }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = self.faults.iter();
        let faults: Vec<String> = faults
            .map(|(site, fault)| format!("{fault} {site}"))
            .collect();
        let picks: Vec<String> = self.picks.iter().map(ToString::to_string).collect();
        write!(f, "{VERSION} | {} | {}", faults.join("; "), picks.join(" "))
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((version, rest)) = text.trim().split_once('|') else {
            return Err(format!(
                "{text:?} is not a run: it should be like `{EXAMPLE}`"
            ));
        };
        if version.trim() != VERSION {
            return Err(format!(
                "the run was written down as {:?}, and this version of kser-testkit reads {VERSION:?}: \
                 make the failure again with it, or use the version that wrote it",
                version.trim()
            ));
        }
        // Decisions have no bar in them, and paths may.
        let (faults, picks) = rest.rsplit_once('|').unwrap_or((rest, ""));
        let faults = faults
            .split(';')
            .map(str::trim)
            .filter(|fault| !fault.is_empty());
        let numbers = picks.split_whitespace().map(|pick| {
            pick.parse()
                .map_err(|_| format!("{pick:?} is not a decision, which is a number"))
        });
        Ok(Self {
            faults: faults.map(planned).collect::<Result<_, _>>()?,
            picks: numbers.collect::<Result<_, _>>()?,
        })
    }
}

/// Reads `crash after Checkout#1/2.Charge/commit/1`.
fn planned(text: &str) -> Result<(Site, Fault), String> {
    let (fault, rest) = Fault::parse(text)?;
    Ok((rest.parse()?, fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_read_as_it_was_written() {
        let case = Plan {
            faults: vec![
                (
                    Site::new("Checkout#1/2.Charge/commit", 1),
                    Fault::CrashAfter,
                ),
                (Site::new("c1/outputs due", 12), Fault::CrashBefore),
            ],
            picks: vec![0, 0, 3],
        };
        let text = case.to_string();
        assert_eq!(
            text,
            "v1 | crash after Checkout#1/2.Charge/commit/1; crash before c1/outputs due/12 | 0 0 3"
        );
        assert_eq!(text.parse(), Ok(case));
        assert_eq!("v1 |  |".parse(), Ok(Plan::default()));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for (text, told) in [
            (
                "",
                "it should be like `v1 | crash after Checkout#1/2.Charge/commit/1 | 0 0 1`",
            ),
            ("v2 | | ", "this version of kser-testkit reads \"v1\""),
            ("v1 | melt c1/due/1 |", "is not a fault"),
            ("v1 | crash after nowhere |", "is not a site"),
            ("v1 | | x", "is not a decision"),
        ] {
            let error = text.parse::<Plan>().unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
