use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kser_ops::{LetterPlan, OpsError, RunPlan};

use super::words::Words;
use crate::access::AccessError;
use crate::access::tokens;

/// The most plans that are kept: each may have 100,000 runs or letters. The one that was made first is forgotten.
const KEPT: usize = 16;

/// An act on many as it was shown beforehand: it takes those that were there then, and no others.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) id: String,
    pub(crate) words: Words,
    pub(crate) plan: Plan,
    /// The sentence about the choice, such as `cause a41c0000 · topic billing`.
    pub(crate) choice: String,
}

/// The plan of the model.
#[derive(Debug)]
pub(crate) enum Plan {
    Letters(LetterPlan),
    Runs(RunPlan),
}

impl Plan {
    pub(crate) const fn taken(&self) -> u64 {
        match self {
            Self::Letters(plan) => plan.taken,
            Self::Runs(plan) => plan.taken,
        }
    }

    pub(crate) const fn refused(&self) -> u64 {
        match self {
            Self::Letters(plan) => plan.refused,
            Self::Runs(plan) => plan.refused,
        }
    }

    /// Returns the name of one thing or of many.
    pub(crate) const fn noun(&self, number: u64) -> &'static str {
        match (self, number) {
            (Self::Letters(_), 1) => "dead letter",
            (Self::Letters(_), _) => "dead letters",
            (Self::Runs(_), 1) => "run",
            (Self::Runs(_), _) => "runs",
        }
    }

    /// Says whether runs go on by the act, so that their ends can be followed.
    pub(crate) fn is_followed(&self, words: Words) -> bool {
        ["resume", "retry", "replay"].contains(&words.name)
    }
}

/// The plans that were shown and are not carried out yet. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plans {
    kept: Arc<Mutex<Vec<Arc<Planned>>>>,
}

impl Plans {
    fn kept(&self) -> MutexGuard<'_, Vec<Arc<Planned>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a plan until it is carried out.
    pub(crate) fn keep(
        &self,
        words: Words,
        plan: Plan,
        choice: String,
    ) -> Result<Arc<Planned>, AccessError> {
        let id = tokens::random()?;
        let planned = Arc::new(Planned {
            id,
            words,
            plan,
            choice,
        });
        let mut kept = self.kept();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(Arc::clone(&planned));
        Ok(planned)
    }

    /// Returns a plan.
    pub(crate) fn find(&self, id: &str) -> Result<Arc<Planned>, OpsError> {
        let found = self.kept().iter().find(|planned| planned.id == id).cloned();
        found.ok_or_else(|| OpsError::NotFound {
            what: "this plan was carried out, or is forgotten: look again at what would be done"
                .to_owned(),
        })
    }

    /// Takes a plan, so that it is carried out once.
    pub(crate) fn take(&self, id: &str) -> Result<Arc<Planned>, OpsError> {
        let planned = self.find(id)?;
        let mut kept = self.kept();
        let before = kept.len();
        kept.retain(|planned| planned.id != id);
        match kept.len() < before {
            true => Ok(planned),
            false => Err(OpsError::NotFound {
                what: "this plan was carried out".to_owned(),
            }),
        }
    }
}
