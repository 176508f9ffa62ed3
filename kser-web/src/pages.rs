//! The pages: each asks the model, and draws its answer.

pub(crate) mod consumers;
pub(crate) mod letter;
pub(crate) mod letter_list;
pub(crate) mod letters;
pub(crate) mod overview;
pub(crate) mod run;
pub(crate) mod run_causes;
pub(crate) mod runs;
pub(crate) mod waiting;
