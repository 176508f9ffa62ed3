//! The simulation, as its users see it.

mod by_hand;
mod crashes;
mod faults;
mod shop;
