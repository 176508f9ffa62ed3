//! The program, as its users see it: the text of each command, JSON, exit codes.

mod acts;
mod consumers;
mod export;
mod process;
mod readme;
mod runs;
mod schema;
mod shown;
mod waiting;
#[cfg(all(feature = "web", unix))]
mod web;
#[cfg(feature = "web")]
mod web_documents;
mod world;
