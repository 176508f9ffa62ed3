use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kser_core::Clock;

use super::*;

/// A clock whose elapsed time stands still, and whose time of day is stepped.
#[derive(Debug, Default)]
struct Stepped(AtomicI64);

const NOW: u64 = 1_800_000_000_000;

impl Clock for Stepped {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW)
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(NOW.saturating_add_signed(self.0.load(Ordering::Relaxed)))
    }
}

const HOUR_MS: i64 = 3_600_000;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(after: Duration) -> Timestamp {
    Timestamp::from_millis(NOW) + after
}

#[test]
fn a_wait_does_not_depend_on_the_time_of_day() {
    let topic = Topic::new("t").unwrap();
    let record = Record::new(topic, None).with_not_before(Some(at(seconds(12))));
    for step in [0, HOUR_MS, -HOUR_MS] {
        let time = Time::new(Arc::new(Stepped(step.into())));
        let target = DelayTarget::of(&record, &time).unwrap();
        assert_eq!(target.topic, "t.delay.10s");
        assert_eq!(target.header(), ("kser-wait-ms", "12000".to_owned()));
        let told = WaitHeader::Wait(seconds(12));
        let plan = WaitPlan::new(told, Duration::ZERO, time.now(), seconds(10), &time);
        assert_eq!((plan.due, plan.until), (at(seconds(12)), at(seconds(10))));
    }
}

#[test]
fn a_record_waits_for_what_its_age_has_left() {
    let time = Time::new(Arc::new(Stepped::default()));
    let plan = |wait, age| {
        let told = WaitHeader::Wait(seconds(wait));
        let plan = WaitPlan::new(told, seconds(age), time.now(), seconds(10), &time);
        (plan.due, plan.until)
    };
    assert_eq!(plan(12, 4), (at(seconds(8)), at(seconds(6))));
    assert_eq!(plan(4, 1), (at(seconds(3)), at(seconds(3) + SLACK)));
    // The record is never looked at again at once, even if its age is overestimated.
    assert_eq!(plan(12, 3600), (at(seconds(0)), at(LEAST)));
}

#[test]
fn headers_of_earlier_versions_are_read() {
    let due = NOW + 5000;
    let mut headers = vec![
        ("kser-due".to_owned(), Some(due.to_string().into())),
        ("other".to_owned(), None),
    ];
    let time = Time::new(Arc::new(Stepped::default()));
    let told = take_wait_header(&mut headers, &time);
    assert_eq!(told, WaitHeader::Due(Timestamp::from_millis(due)));
    assert_eq!(headers, [("other".to_owned(), None)]);
    let plan = WaitPlan::new(told, seconds(1), time.now(), seconds(10), &time);
    assert_eq!(plan.due, at(seconds(5)));
    assert_eq!(take_wait_header(&mut headers, &time), WaitHeader::Nothing);
}

#[test]
fn a_header_is_no_longer_than_is_reckoned_with() {
    let topic = Topic::new("t").unwrap();
    let never = Some(Timestamp::from_millis(u64::MAX));
    let record = Record::new(topic, None).with_not_before(never);
    let target = DelayTarget::of(&record, &Time::new(Arc::new(Stepped::default())));
    let (name, value) = target.unwrap().header();
    assert!(name.len() + value.len() + 3 <= HEADER_BYTES);
}
