use std::fmt;
use std::time::Duration;

/// Displays a duration in its two largest units, such as `6 d 20 h`, for people.
///
/// ```
/// # use std::time::Duration;
/// assert_eq!(kser_ops::Spoken(Duration::from_secs(253)).to_string(), "4 min 13 s");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "it only displays a duration")]
pub struct Spoken(pub Duration);

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
        let minutes = seconds / 60 % 60;
        let text = match (days, seconds / 3600, seconds / 60, seconds) {
            (1.., ..) => two(days, "d", hours, "h"),
            (_, 1.., ..) => two(hours, "h", minutes, "min"),
            (_, _, 1.., _) => two(minutes, "min", seconds % 60, "s"),
            (_, _, _, 10..) => format!("{seconds} s"),
            (_, _, _, 1..) => format!("{seconds}.{} s", self.0.subsec_millis() / 100),
            _ => format!("{} ms", self.0.subsec_millis()),
        };
        f.pad(&text)
    }
}

fn two(large: u64, of_large: &str, small: u64, of_small: &str) -> String {
    match small {
        0 => format!("{large} {of_large}"),
        small => format!("{large} {of_large} {small} {of_small}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_units_are_shown() {
        let check = |millis, text: &str| {
            assert_eq!(Spoken(Duration::from_millis(millis)).to_string(), text);
        };
        check(0, "0 ms");
        check(999, "999 ms");
        check(1_500, "1.5 s");
        check(59_999, "59 s");
        check(253_000, "4 min 13 s");
        check(3_600_000, "1 h");
        check(13_200_000, "3 h 40 min");
        check(590_400_000, "6 d 20 h");
    }
}
