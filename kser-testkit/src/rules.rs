//! The sentences of the contracts, and the test of each.

use std::fmt;
use std::pin::Pin;

use crate::{StoreHarness, TransportHarness};

/// A sentence of a contract, and its test.
///
/// The macros make a test of each; a program that cannot use them goes through the table itself:
///
/// ```
/// # use kser_memory::MemoryStore;
/// # use kser_testkit::{StoreHarness, rules};
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// for rule in rules::STORE {
///     (rule.test)(&StoreHarness::new(MemoryStore::new())).await;
/// }
/// # }
/// ```
#[non_exhaustive]
pub struct Rule<H> {
    /// The section of the contract, as a module is called.
    pub section: &'static str,
    /// The name of the test.
    pub name: &'static str,
    /// The sentence, word for word.
    pub sentence: &'static str,
    /// Panics when the backend breaks the rule. It takes a harness that no other rule has used.
    pub test: for<'a> fn(&'a H) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
}

impl<H> fmt::Debug for Rule<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}: {:?}", self.section, self.name, self.sentence)
    }
}

/// The rules of transports. A sentence that says several things may have several.
pub const TRANSPORT: &[Rule<TransportHarness>] =
    kser_core::__transport_contract!([crate::__table] transport);

/// The rules of state stores. A sentence that says several things may have several.
pub const STORE: &[Rule<StoreHarness>] = kser_core::__store_contract!([crate::__table] store);

/// Makes a table of the rules of a contract.
#[doc(hidden)]
#[macro_export]
macro_rules! __table {
    ($kind:ident $($section:ident $title:literal { $($sentence:literal => $($rule:ident)* ;)* })*) => {
        &[$($($($crate::rules::Rule {
            section: stringify!($section),
            name: stringify!($rule),
            sentence: $sentence,
            test: |harness| Box::pin($crate::$kind::$section::$rule(harness)),
        },)*)*)*]
    };
}

/// Defines the macro `sentence`, which gives the sentence of a rule.
macro_rules! define_sentence {
    ($($section:ident $title:literal { $($sentence:literal => $($rule:ident)* ;)* })*) => {
        /// Gives the sentence of the contract that a rule tests.
        macro_rules! sentence {
            $($($(($rule) => { $sentence };)*)*)*
        }
    };
}

/// The sentences of the contract of transports, by the names of their rules.
pub(crate) mod transport_sentences {
    kser_core::__transport_contract!([define_sentence]);
    pub(crate) use sentence;
}

/// The sentences of the contract of state stores, by the names of their rules.
pub(crate) mod store_sentences {
    kser_core::__store_contract!([define_sentence]);
    pub(crate) use sentence;
}
