//! Lists of partitions in log lines and reasons, kept short since a member may have thousands.

use std::fmt::Write as _;

/// The number of partitions that a list names.
const NAMED: usize = 10;

/// Writes partitions as `dice [0, 1], cups [0] and 9,990 more`: the first ten, and the number of the others.
pub(crate) fn list<'a>(partitions: impl IntoIterator<Item = (&'a str, i32)>) -> String {
    let (mut text, mut of, mut n) = (String::new(), None, 0);
    for (topic, partition) in partitions {
        n += 1;
        if n > NAMED {
            continue;
        }
        // Writing into a string does not fail.
        let _ = match of {
            Some(before) if before == topic => write!(text, ", {partition}"),
            Some(_) => write!(text, "], {topic} [{partition}"),
            None => write!(text, "{topic} [{partition}"),
        };
        of = Some(topic);
    }
    if of.is_some() {
        text.push(']');
    }
    if n > NAMED {
        let _ = write!(text, " and {} more", grouped(n - NAMED));
    }
    text
}

/// Writes a number with a comma between each three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_ten_partitions_and_the_number_of_the_others() {
        assert_eq!(list([]), "");
        assert_eq!(list([("a", 3)]), "a [3]");
        assert_eq!(list([("a", 0), ("a", 1), ("b", 0)]), "a [0, 1], b [0]");
        let ten = list((0..10).map(|partition| ("a", partition)));
        assert_eq!(ten, "a [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]");
        let many = list((0..10_000).map(|partition| ("a", partition)));
        assert_eq!(many, format!("{ten} and 9,990 more"));
        assert_eq!(grouped(1), "1");
        assert_eq!(grouped(100), "100");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
