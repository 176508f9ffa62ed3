use tokio::runtime::Builder;

/// Runs a test on paused time.
#[doc(hidden)]
pub fn run_paused(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("a runtime can be made").block_on(test);
}

/// Runs a test on the time of the machine.
#[doc(hidden)]
pub fn run_real(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(test);
}

/// Declares one test for each rule of the contract of transports.
///
/// The first argument is `paused` or `real` time, the second an expression for a future of a fresh
/// [`TransportHarness`](crate::TransportHarness).
#[macro_export]
macro_rules! transport_suite {
    ($time:ident, $make:expr) => {
        $crate::__transport_rules!(__suite $time ($make) transport);
    };
}

/// Declares one test for each rule of the contract of state stores.
///
/// The first argument is `paused` or `real` time, the second an expression for a future of a fresh
/// [`StoreHarness`](crate::StoreHarness).
#[macro_export]
macro_rules! store_suite {
    ($time:ident, $make:expr) => {
        $crate::__store_rules!(__suite $time ($make) store);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __suite {
    (paused ($make:expr) $kind:ident $($section:ident::$rule:ident: $sentence:literal,)*) => {
        $(#[test]
        fn $rule() {
            $crate::run_paused(async {
                let harness = $make.await;
                $crate::$kind::$section::$rule(&harness).await;
            });
        })*
    };
    (real ($make:expr) $kind:ident $($section:ident::$rule:ident: $sentence:literal,)*) => {
        $(#[test]
        fn $rule() {
            $crate::run_real(async {
                let harness = $make.await;
                $crate::$kind::$section::$rule(&harness).await;
            });
        })*
    };
}
