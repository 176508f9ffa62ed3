//! The rules of transports: one module a section of the contract, one function a sentence.

pub mod cancel_safety;
pub mod closing;
pub mod delay;
pub mod delivery;
pub mod groups;
pub mod limits;
pub mod ordering;
pub mod redelivery;
pub mod revocation;
pub mod settling;
