//! The faults of a run, and the sites where they happen.
//!
//! A [`Fault`] happens at a [`Site`]: at a call of the transport or the store, at an effect, or where a handler waits.
//! Each happens once and ends by itself, so that a run can come to its end. More of the same is two faults, or many that
//! are drawn: crash loops, storms of rebalances, flapping outages.
//!
//! These failures need no fault of their own:
//!
//! | failure | how it is tried |
//! |---|---|
//! | records of several partitions in another order, a cancel that races with an end | [`every_order`](crate::Sim::every_order) |
//! | a delivery that comes twice, a leader that changes with the last records twice | [`Duplicate`](Fault::Duplicate) |
//! | a broker that is slow, or full | [`Hang`](Fault::Hang) and [`Reject`](Fault::Reject) of a publication |
//! | a broker that forgets its assignments, a commit during a rebalance | [`Rebalance`](Fault::Rebalance) at every call |
//! | a lease that cannot be renewed | `Reject` and [`Unknown`](Fault::Unknown) of a write |
//! | a handler slower than its lease and its session | `Hang` of an effect, [`Freeze`](Fault::Freeze) |
//! | clocks that differ, timers that are late | [`ClockJump`](Fault::ClockJump) of one machine, `Freeze`, [`Delay`](Fault::Delay) |
//! | a start during an outage | an outage: [`launch`](crate::World::launch) asks until it is certain |
//! | a second launch of one id | a [`client`](crate::World::client) that launches it too |
//! | a partition without an owner for a while, a start with empty memory | every crash: the broker waits for the session to end |
//! | a handler that fails, an effect whose answer is lost | `Reject` and `Unknown` of an effect |
//! | dead letters that cannot be written | an outage at their publication |
//! | a record that is too large | [`Setup::largest_record`](crate::Setup::largest_record) |
//! | a crash without a restart | [`ByHand::crash`](crate::ByHand::crash) |
//! | bytes that are no message, unknown entrypoints, old beside new handlers | [`World::client`](crate::World::client), [`World::consumers`](crate::World::consumers) twice |
//!
//! Some failures are left out because the contract of transports and stores forbids them, and no code above could be right with
//! them: the broker loses an acknowledged record, retention removes a waiting record, a commit is lost in silence, order within a
//! key is broken, a payload is changed on the way, a read is stale. A backend shows with its suite that it has none of these
//! failures. A commit of several partitions that is done in part is left out too, because here each delivery is committed by
//! itself.

mod fault;
mod set;
mod site;

pub use self::fault::Fault;
pub use self::set::Faults;
pub use self::site::{Kind, Site};
