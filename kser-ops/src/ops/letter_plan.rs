use std::collections::BTreeMap;

use kser::Error;
use kser::backend::RecordPlace;
use kser::message::Topic;
use kser::run::{RunId, Timestamp};
use serde::Serialize;

use crate::error::OpsError;
use crate::letter::{Letter, LetterAddress};
use crate::ops::Ops;
use crate::ops::letters::LetterFilter;

/// The number of letters that are left of which a plan keeps the reasons.
pub(crate) const REASONS: usize = 1000;

/// An act on dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LetterVerb {
    /// Sends the record again to where it came from. A stored run tries the step again.
    Replay,
    /// Forgets the letter.
    Discard,
    /// Writes the letter again, at the end of its topic, so that its retention begins anew.
    Renew,
}

/// The letters that an act would take, and those that it would leave, by the rules that the act itself asks. Nothing is done.
///
/// It has the letters that were there when it was made: an act takes no others.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct LetterPlan {
    /// The act.
    pub verb: LetterVerb,
    /// The number of letters that the act takes.
    pub taken: u64,
    /// The number of letters that the rules refuse.
    pub refused: u64,
    /// The letters that are refused, with the reasons, at most a thousand.
    pub left: Vec<LeftLetter>,
    /// The failure of the oldest letter that the act takes.
    #[serde(serialize_with = "crate::json::time")]
    pub oldest: Option<Timestamp>,
    /// The first letter that the act takes.
    pub sample: Option<Letter>,
    #[serde(skip)]
    pub(crate) targets: BTreeMap<Topic, Targets>,
}

/// The places of letters, with their runs.
pub(crate) type Targets = BTreeMap<RecordPlace, Option<RunId>>;

/// A letter that an act leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeftLetter {
    /// The place of the letter.
    pub address: LetterAddress,
    /// The run, if the letter tells it.
    pub run: Option<RunId>,
    /// The reason.
    pub reason: String,
}

impl LeftLetter {
    pub(crate) const fn new(address: LetterAddress, run: Option<RunId>, reason: String) -> Self {
        Self {
            address,
            run,
            reason,
        }
    }
}

impl LetterPlan {
    const fn new(verb: LetterVerb) -> Self {
        Self {
            verb,
            taken: 0,
            refused: 0,
            left: Vec::new(),
            oldest: None,
            sample: None,
            targets: BTreeMap::new(),
        }
    }

    fn take(&mut self, letter: Letter) {
        self.taken += 1;
        let failed = letter.failed();
        self.oldest = match (self.oldest, failed) {
            (Some(oldest), Some(failed)) => Some(oldest.min(failed)),
            (oldest, failed) => oldest.or(failed),
        };
        let topic = letter.address.topic().clone();
        let targets = self.targets.entry(topic).or_default();
        targets.insert(letter.address.place(), letter.run.clone());
        self.sample.get_or_insert(letter);
    }

    fn leave(&mut self, letter: Letter, error: &Error) {
        self.refused += 1;
        if self.left.len() < REASONS {
            let reason = refusal(error);
            let left = LeftLetter::new(letter.address, letter.run, reason);
            self.left.push(left);
        }
    }
}

impl Ops {
    /// Finds the letters that an act would take, of all topics or of one. A replay asks the rules for each letter of a stored run.
    ///
    /// # Errors
    ///
    /// [`OpsError::NotFound`] when an address of the filter has no letter, otherwise as [`letters`](Self::letters).
    pub async fn plan_letters(
        &self,
        verb: LetterVerb,
        topic: Option<&str>,
        filter: LetterFilter,
    ) -> Result<LetterPlan, OpsError> {
        let mut plan = LetterPlan::new(verb);
        let asked = filter.addresses.clone();
        let mut found = Vec::new();
        let mut view = self.letters(topic, filter).await?;
        while let Some(page) = view.next_records().await? {
            for (letter, record) in page {
                found.extend(
                    asked
                        .contains(&letter.address)
                        .then(|| letter.address.clone()),
                );
                let allowed = match verb {
                    LetterVerb::Replay => self.client.check_replay(&record).await,
                    LetterVerb::Discard | LetterVerb::Renew => Ok(()),
                };
                match allowed {
                    Ok(()) => plan.take(letter),
                    Err(error) if error.is_temporary() => return Err(error.into()),
                    Err(error) => plan.leave(letter, &error),
                }
            }
        }
        match asked.into_iter().find(|address| !found.contains(address)) {
            Some(address) => Err(OpsError::NotFound {
                what: format!(
                    "there is no dead letter at {address}, or it is replayed or discarded"
                ),
            }),
            None => Ok(plan),
        }
    }
}

/// Says why a letter is left.
pub(crate) fn refusal(error: &Error) -> String {
    match error {
        Error::Rejected { id, source } => format!("run {id} does not stand there: {source}"),
        Error::UnknownRun { id } => format!("the store has no run {id}"),
        Error::NeedsStore { .. } => {
            "its state is in a store, and none is named (--store)".to_owned()
        }
        other => other.report(),
    }
}
