//! The pages: each asks the model, and draws its answer.

pub(crate) mod overview;
pub(crate) mod run;
pub(crate) mod runs;
