//! Back-off arithmetic, for every policy that can be built.

use std::time::Duration;

use kser_core::{Error, RetryPolicy, TaskError, TaskId, Timestamp};
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
        let built = RetryPolicy::exponential(attempts, millis(first))
            .and_then(|policy| policy.with_longest_wait(millis(longest)));
        match built {
            Ok(policy) => match wait(&policy, &task, attempt) {
                Some(wait) => {
                    prop_assert!(attempt < attempts);
                    prop_assert!(millis(first) <= wait && wait <= millis(longest), "{wait:?}");
                }
                None => prop_assert!(attempt >= attempts),
            },
            Err(error) => prop_assert!(attempts == 0, "{error}"),
        }
    }

    #[test]
    fn any_duration_is_a_policy_or_refused(first: Duration, longest: Duration, attempts: u32, attempt in attempt()) {
        let Ok(policy) = RetryPolicy::exponential(attempts, first) else {
            return Ok(());
        };
        let (policy, longest) = match policy.clone().with_longest_wait(longest) {
            Ok(changed) => (changed, longest),
            Err(_) => (policy, first.max(Duration::from_secs(3600))),
        };
        if let Some(wait) = wait(&policy, "task", attempt) {
            prop_assert!(first <= wait && wait <= longest, "{first:?} <= {wait:?} <= {longest:?}");
        }
    }

    #[test]
    fn waits_grow_to_the_longest(first in 1..=YEAR, task in "[0-9a-f]{8}") {
        let policy = RetryPolicy::exponential(u32::MAX, millis(first)).unwrap();
        let policy = policy.with_longest_wait(millis(YEAR)).unwrap();
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
        let policy = RetryPolicy::exponential(20, millis(1000)).unwrap().with_total(millis(total));
        let first = Timestamp::from_millis(NOW.as_millis() - failed_before);
        let task = TaskId::from("task");
        let free = RetryPolicy::exponential(20, millis(1000)).unwrap();
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
    let policy = RetryPolicy::exponential(u32::MAX, millis(1)).unwrap();
    let policy = policy.with_longest_wait(millis(YEAR)).unwrap();
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
fn impossible_policies_are_refused() {
    let refused = |policy: Result<RetryPolicy, Error>, why: &str| match policy {
        Err(Error::Invalid { reason, .. }) => assert!(reason.contains(why), "{reason}"),
        other => panic!("{other:?}"),
    };
    let policy = |attempts, first| RetryPolicy::exponential(attempts, first);
    refused(policy(0, millis(1)), "no attempts");
    refused(policy(3, millis(YEAR + 1)), "a year");
    refused(policy(3, Duration::MAX), "a year");
    refused(policy(3, Duration::from_micros(500)), "a millisecond");
    refused(
        policy(3, Duration::from_nanos(1_000_000_001)),
        "a millisecond",
    );
    let longest = |longest| policy(3, millis(1000)).unwrap().with_longest_wait(longest);
    refused(longest(millis(999)), "shorter");
    refused(longest(millis(YEAR + 1)), "a year");
    refused(longest(Duration::from_micros(1_000_500)), "a millisecond");
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
    assert!(!asks(&policy, &temporary().permanent()));
    assert!(asks(&policy, &TaskError::validation("x").temporary()));
    let policy = policy.when(|error| error.name() == "Weird");
    assert!(asks(&policy, &TaskError::new("Weird", "x").permanent()));
    assert!(!asks(&policy, &temporary()));
}

#[test]
fn a_question_that_panics_leaves_it_to_the_error() {
    let policy = RetryPolicy::default().when(|_| panic!("boom"));
    let next = |error: &TaskError| policy.next(&"task".into(), 1, error, None, NOW);
    assert!(next(&temporary()).is_some());
    assert!(next(&TaskError::validation("x")).is_none());
}
