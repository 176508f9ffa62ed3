//! The clock of the brokers, measured: the timestamps that brokers write can be compared with no other clock.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kser_core::Timestamp;

/// The greatest uncertainty with which the brokers' clock is compared with ours, in milliseconds.
const CLOSE: i64 = 1000;
/// The time for which a measurement is valid, since clocks drift.
const HOLDS: Duration = Duration::from_secs(600);
/// The age up to which a record is believed without a fresh measurement. Older records are rare, and a step of the brokers'
/// clock looks the same.
const YOUNG: Duration = Duration::from_secs(2);
/// The greatest age of a measurement by which an old record is believed.
const FRESH: Duration = Duration::from_secs(5);

/// The difference between the brokers' clock and ours. It is measured with records that the brokers stamp: the stamp lies
/// between sending the record and its delivery report. The clocks of the brokers of a cluster are assumed to agree.
#[derive(Debug, Default)]
pub(crate) struct BrokerClock(Mutex<Option<Measured>>);

/// A measurement: the brokers' clock is ahead by `least` to `most` milliseconds.
#[derive(Debug, Clone, Copy)]
struct Measured {
    least: i64,
    most: i64,
    at: Timestamp,
}

impl BrokerClock {
    /// Adds a measurement: a record was sent and reported at two times of our clock, with the stamp of a broker in between.
    pub(crate) fn add_measurement(&self, sent: Timestamp, stamp: Timestamp, reported: Timestamp) {
        let fresh = Measured {
            least: difference(stamp, reported),
            most: difference(stamp, sent),
            at: reported,
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(match *known {
            Some(known) if reported.since(known.at) < HOLDS => known.narrow(fresh),
            _ => fresh,
        });
    }

    /// Returns the age of a record with a stamp of a broker, or less than its age. `None` if a measurement is needed first.
    pub(crate) fn age(&self, stamp: Timestamp, now: Timestamp) -> Option<Duration> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = (*known)?;
        let age = difference(now, stamp).saturating_add(known.least);
        let age = Duration::from_millis(u64::try_from(age).unwrap_or_default());
        let holds = match age <= YOUNG {
            true => HOLDS,
            false => FRESH,
        };
        (known.most - known.least <= CLOSE && now.since(known.at) < holds).then_some(age)
    }
}

impl Measured {
    /// Narrows a measurement by another. If they contradict each other, a clock was stepped, and only the new one is valid.
    fn narrow(self, fresh: Self) -> Self {
        let (least, most) = (self.least.max(fresh.least), self.most.min(fresh.most));
        match least <= most {
            true => Self {
                least,
                most,
                at: fresh.at,
            },
            false => fresh,
        }
    }
}

/// Returns `a - b` in milliseconds.
fn difference(a: Timestamp, b: Timestamp) -> i64 {
    let millis = |at: Timestamp| i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    millis(a).saturating_sub(millis(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    const HOUR: u64 = 3_600_000;

    #[test]
    fn an_age_goes_by_the_clock_that_stamped() {
        let clock = BrokerClock::default();
        assert_eq!(clock.age(at(HOUR), at(0)), None);
        // The brokers are an hour ahead. The report took 20 ms.
        clock.add_measurement(at(1000), at(HOUR + 1010), at(1020));
        let age = |stamp, now| clock.age(at(stamp), at(now)).map(|age| age.as_millis());
        // Less than it is, by as much as the report may have taken.
        assert_eq!(age(HOUR + 1010, 1020), Some(0));
        assert_eq!(age(HOUR + 1010, 2020), Some(1000));
        assert_eq!(age(HOUR + 1010, 900), Some(0));
        assert_eq!(age(HOUR - 4000, 1020), Some(5010));
    }

    #[test]
    fn a_measurement_that_took_long_is_not_enough() {
        let clock = BrokerClock::default();
        clock.add_measurement(at(0), at(500), at(1001));
        assert_eq!(clock.age(at(500), at(1001)), None);
        clock.add_measurement(at(1000), at(1500), at(1501));
        assert!(clock.age(at(500), at(1001)).is_some());
    }

    #[test]
    fn a_narrow_measurement_is_not_lost_to_a_wide_one() {
        let clock = BrokerClock::default();
        clock.add_measurement(at(0), at(5), at(10));
        clock.add_measurement(at(1000), at(1500), at(3000));
        assert_eq!(clock.age(at(3000), at(3005)), Some(Duration::ZERO));
        assert_eq!(clock.age(at(2000), at(3005)).unwrap().as_millis(), 1000);
    }

    #[test]
    fn a_step_of_the_brokers_shows_at_the_next_measurement() {
        let clock = BrokerClock::default();
        clock.add_measurement(at(HOUR), at(HOUR), at(HOUR + 10));
        // They are stepped back, and a record that comes looks an hour old: that is not believed for long.
        assert_eq!(clock.age(at(10_000), at(HOUR + 10_000)), None);
        clock.add_measurement(at(HOUR + 10_000), at(10_000), at(HOUR + 10_010));
        let age = clock.age(at(10_000), at(HOUR + 10_010));
        assert_eq!(age, Some(Duration::ZERO));
    }

    #[test]
    fn a_measurement_does_not_hold_for_ever() {
        let clock = BrokerClock::default();
        clock.add_measurement(at(0), at(0), at(10));
        let later = 10 + 600_000;
        assert!(clock.age(at(later), at(later - 1)).is_some());
        assert_eq!(clock.age(at(later), at(later)), None);
        // A record that looks old needs a new one.
        assert!(clock.age(at(0), at(5000)).is_some());
        assert_eq!(clock.age(at(0), at(5020)), None);
    }
}
