use std::cell::RefCell;
use std::io;
use std::sync::Once;

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes to the lines of its thread. Each test has its own, and all of its tasks run there.
struct OfThread;

impl io::Write for OfThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the log lines of this thread from now on. Every test of this process calls it first.
pub(crate) fn listen() {
    static START: Once = Once::new();
    START.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_ansi(false);
        subscriber.with_writer(|| OfThread).init();
    });
    LINES.take();
}

/// Returns the kept lines.
pub(crate) fn lines() -> String {
    String::from_utf8(LINES.take()).unwrap()
}
