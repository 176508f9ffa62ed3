//! Keeps panics that belong to a simulated run off the terminal, because the failure has their text.

use std::cell::{Cell, RefCell};
use std::panic::{self, PanicHookInfo};
use std::sync::Once;
use std::thread;

use crate::sim::panic_text;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    /// The message of the last hidden panic.
    static UNSAID: RefCell<String> = const { RefCell::new(String::new()) };
}

static HOOK: Once = Once::new();

/// Calls a function, and hides the panics of this thread meanwhile, except one that leaves the function.
pub(crate) fn quietly<T>(f: impl FnOnce() -> T) -> T {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if QUIET.get() {
                UNSAID.set(told(info));
            } else {
                before(info);
            }
        }));
    });
    let _loud = Loud(QUIET.replace(true));
    f()
}

/// Returns the message that a panic prints.
fn told(info: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let place = info.location().map(ToString::to_string);
    format!(
        "thread '{}' panicked at {}:\n{}",
        thread.name().unwrap_or("<unnamed>"),
        place.unwrap_or_default(),
        panic_text(info.payload())
    )
}

/// A guard that restores the former state. A panic that leaves its scope belongs to the test, so its message is printed then.
struct Loud(bool);

impl Drop for Loud {
    fn drop(&mut self) {
        QUIET.set(self.0);
        if thread::panicking() {
            eprintln!("\n{}", UNSAID.take());
        }
    }
}
