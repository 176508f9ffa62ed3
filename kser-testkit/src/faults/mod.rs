//! What can go wrong, and where.

mod fault;
mod set;
mod site;

pub use self::fault::Fault;
pub use self::set::Faults;
pub use self::site::{Kind, Site};
