//! The simulation: the real consumers and producers on a broker, a store and a clock that one driver has in its hands.

mod asking;
mod broker;
mod by_hand;
mod clock;
mod consumers;
mod driver;
mod envelopes;
mod facts;
mod finished;
mod given_store;
mod idle;
mod labels;
mod mark;
mod outbox;
mod port;
mod process;
mod run;
mod scenario;
mod settling;
mod setup;
mod sites;
mod spec;
mod state;
mod store;
mod subscription;
mod trace;
mod transport;
mod watch;
mod world;

use std::any::Any;

use kser_core::Error;

pub(crate) use self::broker::{CommitMove, Published, Spot};
pub use self::by_hand::ByHand;
pub use self::clock::SimClock;
pub use self::consumers::Consumers;
pub(crate) use self::facts::{AttemptFacts, EffectFacts, Facts, RecordIdentity, TaskFacts};
pub(crate) use self::finished::{End, Finished};
pub(crate) use self::idle::Idle;
pub(crate) use self::labels::Decoded;
pub(crate) use self::mark::Act;
pub use self::run::Run;
pub(crate) use self::scenario::Scenario;
pub use self::setup::{Guarantee, InjectedBug, Setup};
pub(crate) use self::sites::{FaultPlan, ReachedSite, Swarm};
pub(crate) use self::state::{RunView, Shared};
pub use self::store::SimStore;
#[cfg(feature = "html")]
pub(crate) use self::trace::Event;
pub(crate) use self::trace::Moment;
pub use self::trace::Trace;
pub use self::transport::SimTransport;
pub(crate) use self::watch::Attempt;
pub use self::world::World;

/// Returns the error of a call that failed.
fn broken() -> Error {
    Error::Backend {
        backend: "simulation",
        temporary: true,
        source: "no answer came".into(),
    }
}

/// Returns the text of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "something that is no text".to_owned())
}
