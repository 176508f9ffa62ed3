//! The rules of transports: one module a section of the contract, one function a sentence.
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the sentences link from the contract, in kser-core"
)]

pub mod cancel_safety;
pub mod closing;
pub mod delay;
pub mod delivery;
pub mod groups;
pub mod hand_ins;
pub mod limits;
pub mod looking;
pub mod ordering;
pub mod redelivery;
pub mod revocation;
pub mod settling;
