//! The program, as its users see it: the text of each command, JSON, exit codes.

mod acts;
mod process;
mod readme;
mod runs;
mod shown;
mod world;
