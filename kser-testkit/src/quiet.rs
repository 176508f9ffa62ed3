//! Keeps panics that belong to a simulated run off the terminal: what they say is in the failure.

use std::cell::{Cell, RefCell};
use std::panic::{self, PanicHookInfo};
use std::sync::Once;
use std::thread;

use crate::sim::panic_text;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    /// What the last panic would have said.
    static UNSAID: RefCell<String> = const { RefCell::new(String::new()) };
}

static HOOK: Once = Once::new();

/// Does something, and shows no panic of this thread meanwhile but one that ends it.
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

/// What a panic says by itself.
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

/// Puts back what was before. A panic that leaves is nobody's but the test's: what it says is said now.
struct Loud(bool);

impl Drop for Loud {
    fn drop(&mut self) {
        QUIET.set(self.0);
        if thread::panicking() {
            eprintln!("\n{}", UNSAID.take());
        }
    }
}
