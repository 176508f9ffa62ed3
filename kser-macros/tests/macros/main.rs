//! The derive and the attribute, in every form that compiles.

mod derive;
mod task;
