//! The rules of sequencing: properties over random histories, all histories up to a length, and single rules by name.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod act;
mod carried;
mod case;
mod copies;
mod everything;
mod exhaustive;
mod late;
mod laws;
mod oracle;
mod plan;
mod properties;
mod rules;
mod steps;
mod sweeps;
mod world;
