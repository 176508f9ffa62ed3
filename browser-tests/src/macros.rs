/// Declares tests that need a browser. They are ignored where none is installed. With parentheses, rustfmt formats them.
#[cfg(browser)]
#[macro_export]
macro_rules! browser_tests {
    ($($test:item)*) => { $($test)* };
}

/// Declares tests that need a browser. They are ignored, since none is installed here.
#[cfg(not(browser))]
#[macro_export]
macro_rules! browser_tests {
    ($($test:item)*) => { $(#[ignore = "needs Chromium"] $test)* };
}
