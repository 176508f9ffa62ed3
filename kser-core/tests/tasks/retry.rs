//! Back-off arithmetic, for every policy that can be built.

use std::time::Duration;

use kser_core::{RetryPolicy, TaskError, TaskId, Timestamp};
use proptest::prelude::*;

const YEAR: u64 = 365 * 24 * 3600 * 1000;
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn temporary() -> TaskError {
    TaskError::new("Busy", "busy")
}

/// How long after `attempt` attempts the next one is.
fn wait(policy: &RetryPolicy, task: &str, attempt: u32) -> Option<Duration> {
    let next = policy.next(&task.into(), attempt, &temporary(), None, NOW);
    next.map(|next| next.since(NOW))
}

/// Numbers of all sizes: small ones and the ends as often as others.
fn any_size(most: u64) -> impl Strategy<Value = u64> {
    let bits = 0..=(u64::BITS - most.leading_zeros());
    let sized = bits.prop_flat_map(|bits| 0..=1_u64.checked_shl(bits).map_or(u64::MAX, |n| n - 1));
    prop_oneof![9 => sized, 1 => Just(most)].prop_map(move |n| n.min(most))
}

fn attempt() -> impl Strategy<Value = u32> {
    any_size(u64::from(u32::MAX)).prop_map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn every_wait_lies_within_the_policy(
        first in any_size(YEAR),
        more in any_size(YEAR),
        attempts in attempt(),
        attempt in attempt(),
        task in ".{0,40}",
    ) {
        let longest = (first + more).min(YEAR);
        let policy = RetryPolicy::exponential(attempts, millis(first)).max_delay(millis(longest));
        let attempts = attempts.max(1);
        match wait(&policy, &task, attempt) {
            Some(wait) => {
                prop_assert!(attempt < attempts);
                prop_assert!(millis(first) <= wait && wait <= millis(longest), "{wait:?}");
            }
            None => prop_assert!(attempt >= attempts),
        }
    }

    #[test]
    fn any_duration_makes_a_policy(
        first: Duration,
        longest: Option<Duration>,
        attempts: u32,
        attempt in attempt(),
    ) {
        let policy = RetryPolicy::exponential(attempts, first);
        let most = longest.unwrap_or(first.max(Duration::from_secs(3600)));
        let policy = match longest {
            Some(longest) => policy.max_delay(longest),
            None => policy,
        };
        if let Some(wait) = wait(&policy, "task", attempt) {
            // Waits are rounded up to milliseconds and are at most a year.
            let least = first.min(most).min(millis(YEAR));
            let most = most.min(millis(YEAR)) + millis(1);
            prop_assert!(least <= wait && wait < most, "{least:?} <= {wait:?} < {most:?}");
        }
    }

    #[test]
    fn waits_grow_to_the_longest(first in 1..=YEAR, task in "[0-9a-f]{8}") {
        let policy = RetryPolicy::exponential(u32::MAX, millis(first)).max_delay(millis(YEAR));
        let waits: Vec<_> = (1..100).map(|attempt| wait(&policy, &task, attempt).unwrap()).collect();
        for pair in waits.windows(2) {
            prop_assert!(pair[0] * 4 <= pair[1] * 5, "{waits:?}");
        }
        prop_assert!(waits[98] * 5 >= millis(YEAR) * 4, "{waits:?}");
    }

    #[test]
    fn no_attempt_begins_later_than_the_total_allows(
        total in any_size(YEAR),
        failed_before in any_size(YEAR),
        attempt in 1..20_u32,
    ) {
        let policy = RetryPolicy::exponential(20, millis(1000)).max_elapsed(millis(total));
        let first = Timestamp::from_millis(NOW.as_millis() - failed_before);
        let task = TaskId::from("task");
        let free = RetryPolicy::exponential(20, millis(1000));
        let unlimited = free.next(&task, attempt, &temporary(), Some(first), NOW);
        let expected = unlimited.filter(|next| next.since(first) <= millis(total));
        prop_assert_eq!(policy.next(&task, attempt, &temporary(), Some(first), NOW), expected);
    }
}

#[test]
fn the_default_is_three_attempts_one_and_two_seconds_apart() {
    let policy = RetryPolicy::default();
    for task in ["a", "b", "872c3be0-51ac-457f-a4d9-12c2f7667b80"] {
        let first = wait(&policy, task, 1).unwrap();
        let second = wait(&policy, task, 2).unwrap();
        assert!((millis(1000)..=millis(1250)).contains(&first), "{first:?}");
        assert!(
            (millis(1600)..=millis(2000)).contains(&second),
            "{second:?}"
        );
        assert_eq!(wait(&policy, task, 3), None);
        assert_eq!(wait(&policy, task, u32::MAX), None);
    }
}

#[test]
fn waits_are_spread_and_the_same_whenever_they_are_asked() {
    let policy = RetryPolicy::default();
    for attempt in 1..=2 {
        let ask = |n: u32| wait(&policy, &format!("task {n}"), attempt).unwrap();
        let mut waits: Vec<_> = (0..1000).map(ask).collect();
        assert_eq!(waits, (0..1000).map(ask).collect::<Vec<_>>());
        waits.sort();
        waits.dedup();
        assert!(
            waits.len() > 100,
            "only {} waits after attempt {attempt}",
            waits.len()
        );
    }
}

#[test]
fn a_millisecond_grows_to_a_year() {
    let policy = RetryPolicy::exponential(u32::MAX, millis(1)).max_delay(millis(YEAR));
    // 2 to the 35th milliseconds are more than a year.
    for attempt in [36, 37, 100, u32::MAX - 1] {
        let wait = wait(&policy, "task", attempt).unwrap();
        assert!(
            wait * 5 >= millis(YEAR) * 4,
            "{wait:?} after attempt {attempt}"
        );
    }
}

#[test]
fn never_is_never() {
    for attempt in [0, 1, 2, u32::MAX] {
        let next = wait(&RetryPolicy::never(), "task", attempt);
        // Nothing was tried yet: the first attempt is due at once.
        assert_eq!(next, (attempt == 0).then_some(Duration::ZERO));
    }
}

#[test]
fn waits_are_whole_milliseconds_and_at_most_a_year() {
    let initial = |initial| RetryPolicy::exponential(3, initial).initial_delay();
    assert_eq!(initial(Duration::ZERO), Duration::ZERO);
    assert_eq!(initial(Duration::from_nanos(1)), millis(1));
    assert_eq!(initial(Duration::from_micros(1500)), millis(2));
    assert_eq!(initial(millis(YEAR)), millis(YEAR));
    assert_eq!(initial(Duration::MAX), millis(YEAR));
}

#[test]
fn no_wait_is_longer_than_the_longest_the_first_included() {
    let policy = RetryPolicy::exponential(3, millis(5000)).max_delay(millis(700));
    assert_eq!(policy.initial_delay(), millis(700));
    for attempt in [1, 2] {
        assert_eq!(wait(&policy, "task", attempt), Some(millis(700)));
    }
}

#[test]
fn the_first_attempt_is_always_made() {
    let policy = RetryPolicy::exponential(0, millis(1));
    assert_eq!(policy.attempts(), 1);
    assert_eq!(wait(&policy, "task", 1), None);
}

#[test]
fn what_is_worth_retrying_is_the_errors_own_word_unless_the_policy_says() {
    let asks = |policy: &RetryPolicy, error: &TaskError| {
        policy.next(&"task".into(), 1, error, None, NOW).is_some()
    };
    let policy = RetryPolicy::default();
    for (code, worth) in [
        (400, false),
        (404, false),
        (408, true),
        (429, true),
        (500, true),
        (503, true),
    ] {
        assert_eq!(asks(&policy, &temporary().with_code(code)), worth, "{code}");
    }
    assert!(!asks(&policy, &temporary().into_permanent()));
    assert!(asks(&policy, &TaskError::validation("x").into_temporary()));
    let policy = policy.retry_if(|error| error.name() == "Weird");
    assert!(asks(&policy, &TaskError::permanent("Weird", "x")));
    assert!(!asks(&policy, &temporary()));
}

#[test]
fn a_question_that_panics_leaves_it_to_the_error() {
    let policy = RetryPolicy::default().retry_if(|_| panic!("boom"));
    let next = |error: &TaskError| policy.next(&"task".into(), 1, error, None, NOW);
    assert!(next(&temporary()).is_some());
    assert!(next(&TaskError::validation("x")).is_none());
}
