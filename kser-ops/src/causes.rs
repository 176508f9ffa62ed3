use std::collections::{BTreeMap, BTreeSet};

use kser::run::Timestamp;
use serde::Serialize;

use crate::fingerprint::CauseId;
use crate::letter::Letter;

/// The number of causes that are told apart. Letters of further causes are counted together.
const CAUSES: usize = 1000;

/// The number of runs of a cause that are counted.
const RUNS: usize = 100_000;

/// Letters of one cause: of the same entrypoint, code and pattern.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LetterCause {
    /// The id of the cause.
    pub cause: CauseId,
    /// The number of letters.
    pub letters: u64,
    /// The number of runs to which they belong, up to 100,000.
    pub runs: u64,
    /// The entrypoint, if the letters tell it.
    pub entrypoint: Option<String>,
    /// The code of the error, if the letters tell it.
    pub code: Option<i64>,
    /// The pattern of the error texts.
    pub pattern: String,
    /// The earliest failure.
    #[serde(serialize_with = "crate::json::time")]
    pub first: Option<Timestamp>,
    /// The latest failure.
    #[serde(serialize_with = "crate::json::time")]
    pub last: Option<Timestamp>,
    /// The most replays that a letter has had before.
    pub replays: u64,
    /// The letter that was read first.
    pub sample: Letter,
}

/// The causes of dead letters, counted one letter after another. The memory for it is bounded: it keeps one letter for each cause, and
/// at most a thousand causes.
#[derive(Debug, Default)]
pub struct CauseCounter {
    causes: BTreeMap<CauseId, Counted>,
    letters: u64,
    others: u64,
}

#[derive(Debug)]
struct Counted {
    cause: LetterCause,
    /// Hashes of the ids of the runs.
    runs: BTreeSet<u64>,
}

/// The causes of dead letters.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Causes {
    /// The causes, the one with the most letters first.
    pub causes: Vec<LetterCause>,
    /// The number of letters that were read.
    pub letters: u64,
    /// The number of letters among them whose causes are not listed, because there are more than a thousand.
    pub others: u64,
}

impl CauseCounter {
    /// Counts a letter.
    pub fn count(&mut self, letter: &Letter) {
        self.letters += 1;
        let is_full = self.causes.len() >= CAUSES;
        let counted = match self.causes.entry(letter.cause) {
            std::collections::btree_map::Entry::Occupied(counted) => counted.into_mut(),
            std::collections::btree_map::Entry::Vacant(_) if is_full => {
                self.others += 1;
                return;
            }
            std::collections::btree_map::Entry::Vacant(free) => free.insert(Counted::new(letter)),
        };
        counted.count(letter);
    }

    /// Returns the causes of the letters that were counted so far.
    #[must_use]
    pub fn causes(&self) -> Causes {
        let counted = self.causes.values();
        let mut causes: Vec<_> = counted.map(|counted| counted.cause.clone()).collect();
        causes.sort_by(|one, other| {
            let by_letters = other.letters.cmp(&one.letters);
            by_letters
                .then(other.last.cmp(&one.last))
                .then(one.cause.cmp(&other.cause))
        });
        Causes {
            causes,
            letters: self.letters,
            others: self.others,
        }
    }
}

impl Counted {
    fn new(letter: &Letter) -> Self {
        let cause = LetterCause {
            cause: letter.cause,
            letters: 0,
            runs: 0,
            entrypoint: letter.entrypoint.clone(),
            code: letter.code,
            pattern: letter.pattern.clone(),
            first: None,
            last: None,
            replays: 0,
            sample: letter.clone(),
        };
        Self {
            cause,
            runs: BTreeSet::new(),
        }
    }

    fn count(&mut self, letter: &Letter) {
        let cause = &mut self.cause;
        cause.letters += 1;
        cause.replays = cause.replays.max(letter.replays);
        let failed = letter.failed();
        cause.last = cause.last.max(failed);
        cause.first = match (cause.first, failed) {
            (Some(first), Some(failed)) => Some(first.min(failed)),
            (first, failed) => first.or(failed),
        };
        if let Some(run) = letter.run.as_ref().filter(|_| self.runs.len() < RUNS) {
            self.runs.insert(hash(run.as_str()));
            cause.runs = u64::try_from(self.runs.len()).unwrap_or(u64::MAX);
        }
    }
}

/// Hashes an id (FNV-1a), so that a run takes eight bytes.
fn hash(text: &str) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    text.bytes().fold(start, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
