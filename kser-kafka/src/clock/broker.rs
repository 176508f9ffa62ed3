//! The brokers' clock, as far as it is known here: what they write beside a record can be compared with no other.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kser_core::Timestamp;

/// How closely the brokers' clock has to be known to be compared with ours, in milliseconds.
const CLOSE: i64 = 1000;
/// How long what is known holds, since clocks drift.
const HOLDS: Duration = Duration::from_secs(600);
/// How old a record may look without a second measurement. An older one is rare, and may look so because the brokers'
/// clock was stepped.
const YOUNG: Duration = Duration::from_secs(2);
/// How old the measurement may be by which a record looks old.
const FRESH: Duration = Duration::from_secs(5);

/// How far the clock of the brokers is ahead of ours. It is measured with records that the brokers stamp, between sending
/// the record and its report. The clocks of the brokers of a cluster are taken to agree.
#[derive(Debug, Default)]
pub(crate) struct BrokerClock(Mutex<Option<Measured>>);

/// A measurement: between these, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Measured {
    least: i64,
    most: i64,
    at: Timestamp,
}

impl BrokerClock {
    /// Takes a measurement: a record that was sent at a moment of our clock had the stamp of a broker when its report came.
    pub(crate) fn measured(&self, sent: Timestamp, stamp: Timestamp, reported: Timestamp) {
        let fresh = Measured {
            least: difference(stamp, reported),
            most: difference(stamp, sent),
            at: reported,
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(match *known {
            Some(known) if reported.since(known.at) < HOLDS => known.narrowed(fresh),
            _ => fresh,
        });
    }

    /// Returns how old a record with a stamp of a broker is, never more than it is. `None` if a measurement is needed
    /// first.
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
    /// Adds a measurement. One that contradicts shows that a clock was stepped, and only the new one holds.
    fn narrowed(self, fresh: Self) -> Self {
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

/// Returns the milliseconds from `b` to `a`.
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
        clock.measured(at(1000), at(HOUR + 1010), at(1020));
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
        clock.measured(at(0), at(500), at(1001));
        assert_eq!(clock.age(at(500), at(1001)), None);
        clock.measured(at(1000), at(1500), at(1501));
        assert!(clock.age(at(500), at(1001)).is_some());
    }

    #[test]
    fn a_narrow_measurement_is_not_lost_to_a_wide_one() {
        let clock = BrokerClock::default();
        clock.measured(at(0), at(5), at(10));
        clock.measured(at(1000), at(1500), at(3000));
        assert_eq!(clock.age(at(3000), at(3005)), Some(Duration::ZERO));
        assert_eq!(clock.age(at(2000), at(3005)).unwrap().as_millis(), 1000);
    }

    #[test]
    fn a_step_of_the_brokers_shows_at_the_next_measurement() {
        let clock = BrokerClock::default();
        clock.measured(at(HOUR), at(HOUR), at(HOUR + 10));
        // They are stepped back, and a record that comes looks an hour old: that is not believed for long.
        assert_eq!(clock.age(at(10_000), at(HOUR + 10_000)), None);
        clock.measured(at(HOUR + 10_000), at(10_000), at(HOUR + 10_010));
        let age = clock.age(at(10_000), at(HOUR + 10_010));
        assert_eq!(age, Some(Duration::ZERO));
    }

    #[test]
    fn a_measurement_does_not_hold_for_ever() {
        let clock = BrokerClock::default();
        clock.measured(at(0), at(0), at(10));
        let later = 10 + 600_000;
        assert!(clock.age(at(later), at(later - 1)).is_some());
        assert_eq!(clock.age(at(later), at(later)), None);
        // A record that looks old needs a new one.
        assert!(clock.age(at(0), at(5000)).is_some());
        assert_eq!(clock.age(at(0), at(5020)), None);
    }
}
