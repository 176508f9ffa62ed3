//! The simulation, as its users see it.

mod crashes;
mod faults;
mod shop;
