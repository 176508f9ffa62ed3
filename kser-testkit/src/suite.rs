use std::time::Duration;

use tokio::runtime::Builder;

/// The longest time of the test of a rule: a longer test hangs. On paused time a hang is found at once.
const LIMIT: Duration = Duration::from_secs(600);

const HANGS: &str = "the backend hangs: the test has not ended after 10 minutes of its time";

/// Runs a test on paused time.
#[doc(hidden)]
pub fn run_paused(rule: &'static str, sentence: &'static str, test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let _blame = Blame { rule, sentence };
    let test = async { tokio::time::timeout(LIMIT, test).await };
    let done = runtime.expect("a runtime can be made").block_on(test);
    done.expect(HANGS);
}

/// Runs a test on the time of the machine, with two threads.
#[doc(hidden)]
pub fn run_real(rule: &'static str, sentence: &'static str, test: impl Future<Output = ()>) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let _blame = Blame { rule, sentence };
    let test = async { tokio::time::timeout(LIMIT, test).await };
    let done = runtime.expect("a runtime can be made").block_on(test);
    done.expect(HANGS);
}

/// The rule of a failed test, printed below the message of its panic.
struct Blame {
    rule: &'static str,
    sentence: &'static str,
}

impl Drop for Blame {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the backend breaks this rule of the contract, {}:\n    {}",
                self.rule, self.sentence
            );
        }
    }
}

/// Declares one test for each rule of the contract of transports.
///
/// The first argument is `paused` or `real` time, the second an expression for a future of a fresh
/// [`TransportHarness`](crate::TransportHarness). Paused time needs a transport whose waits are all on tokio's clock:
/// one that talks to another process is tested on real time. Attributes that follow, such as `#[ignore]`, go to each test.
#[macro_export]
macro_rules! transport_suite {
    ($time:ident, $make:expr $(, #[$attribute:meta])* $(,)?) => {
        $crate::kser_core::__transport_contract!([$crate::__suite] $time ($make) [$(#[$attribute])*] transport);
    };
}

/// Declares one test for each rule of the contract of state stores.
///
/// The first argument is `paused` or `real` time, the second an expression for a future of a fresh
/// [`StoreHarness`](crate::StoreHarness). Paused time needs a store whose time is tokio's clock: a database is tested on
/// real time, on which the slowest test takes about half a minute. Attributes that follow, such as `#[ignore]`, go to each
/// test.
#[macro_export]
macro_rules! store_suite {
    ($time:ident, $make:expr $(, #[$attribute:meta])* $(,)?) => {
        $crate::kser_core::__store_contract!([$crate::__suite] $time ($make) [$(#[$attribute])*] store);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __suite {
    (paused $($rest:tt)*) => { $crate::__tests! { run_paused $($rest)* } };
    (real $($rest:tt)*) => { $crate::__tests! { run_real $($rest)* } };
    ($time:ident $($rest:tt)*) => {
        compile_error!("the first argument is `paused` or `real`");
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    ($run:ident ($make:expr) $attributes:tt $kind:ident
     $($section:ident $title:literal { $($sentence:literal => $($rule:ident)* ;)* })*) => {
        $($($($crate::__test! { $run ($make) $attributes $kind $section $rule $sentence })*)*)*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __test {
    ($run:ident ($make:expr) [$($attribute:tt)*] $kind:ident $section:ident $rule:ident $sentence:literal) => {
        $($attribute)*
        #[test]
        fn $rule() {
            let rule = concat!(stringify!($section), "::", stringify!($rule));
            $crate::$run(rule, $sentence, async {
                let harness = $make.await;
                $crate::$kind::$section::$rule(&harness).await;
            });
        }
    };
}
