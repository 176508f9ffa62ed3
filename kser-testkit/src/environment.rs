//! Reads the environment of the test: variables, of which nonsense is an error, and the name of the test.

use std::env::{VarError, var};

/// Reads a number.
///
/// # Panics
///
/// When it is none.
#[track_caller]
pub(crate) fn number(name: &str) -> Option<u64> {
    let text = text(name)?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{name} is {text:?}, and should be a whole number"),
    }
}

/// Reads a text.
///
/// # Panics
///
/// When it is none.
#[track_caller]
pub(crate) fn text(name: &str) -> Option<String> {
    match var(name) {
        Ok(text) => Some(text),
        Err(VarError::NotPresent) => None,
        Err(VarError::NotUnicode(text)) => panic!("{name} is {text:?}, and should be text"),
    }
}

/// Returns the name of the test that runs on this thread: libtest gives it to the thread.
pub(crate) fn test_name() -> Option<String> {
    let name = std::thread::current().name().map(ToOwned::to_owned);
    name.filter(|name| name != "main")
}
