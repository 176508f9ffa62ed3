//! A real browser for the tests of the pages of kser, without a driver and without a web socket.
//!
//! The browser is Chromium (Debian's `chromium-headless-shell`). It is spoken to by the DevTools protocol, through two pipes: no port is
//! open, and the browser ends with the test program, even when that is killed. [`browser`] is one process for all tests of a program;
//! each test has cookies of its own in a [`Session`].
//!
//! ```
//! browser_tests::browser_tests!(
//!     #[tokio::test]
//!     async fn a_page_has_a_title() {
//!         let session = browser_tests::browser().session().await;
//!         let tab = session.tab().await;
//!         tab.open("data:text/html,<title>kser</title>").await;
//!         assert_eq!(tab.title().await, "kser");
//!     }
//! );
//! ```
//!
//! # Without a browser
//!
//! The build script warns, and the tests inside [`browser_tests!`] count as ignored. If `CI` is set, the build fails instead.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a failed expectation is a failed test"
)]

mod browser;
mod line;
mod macros;
mod observed;
mod picture;
mod session;
mod tab;
mod view;

pub use browser::{Browser, browser};
pub use observed::{Logged, Request};
pub use picture::shrink;
pub use session::Session;
pub use tab::Tab;
pub use view::{Theme, View};

/// Whether tests that need a browser can run.
pub const HAS_BROWSER: bool = cfg!(browser);

/// Returns the folder for the pictures of pages, in cargo's target folder.
#[must_use]
pub fn pictures() -> std::path::PathBuf {
    let folder = std::path::PathBuf::from(env!("BROWSER_TESTS_HOME"));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
