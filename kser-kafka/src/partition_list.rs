//! Lists of partitions in log lines and reasons, kept short since a member may have thousands.

use std::collections::BTreeMap;
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

/// Writes partitions as `cups: 1 [0], dice: 10,000 [0-9999]`: their number for each topic, with the first ten ranges. Names the
/// first ten topics, and the number of the others.
pub(crate) fn ranges<'a>(partitions: impl IntoIterator<Item = (&'a str, i32)>) -> String {
    let mut of_topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in partitions {
        of_topics.entry(topic).or_default().push(partition);
    }
    let mut text = String::new();
    for (topic, partitions) in of_topics.iter_mut().take(NAMED) {
        partitions.sort_unstable();
        let comma = if text.is_empty() { "" } else { ", " };
        let count = grouped(partitions.len());
        // Writing into a string does not fail.
        let _ = write!(text, "{comma}{topic}: {count} [");
        for (index, (first, last)) in runs(partitions).take(NAMED + 1).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let _ = match (index, first == last) {
                (NAMED, _) => write!(text, ", …"),
                (_, true) => write!(text, "{comma}{first}"),
                (_, false) => write!(text, "{comma}{first}-{last}"),
            };
        }
        text.push(']');
    }
    if of_topics.len() > NAMED {
        let more = grouped(of_topics.len() - NAMED);
        let _ = write!(text, " and {more} more topics");
    }
    text
}

/// Splits sorted numbers into runs without gaps, each as its first and last number.
fn runs(numbers: &[i32]) -> impl Iterator<Item = (i32, i32)> {
    let runs = numbers.chunk_by(|one, next| one.checked_add(1) == Some(*next));
    runs.filter_map(|run| Some((*run.first()?, *run.last()?)))
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
    }

    #[test]
    fn ranges_tell_the_number_of_partitions_of_each_topic() {
        assert_eq!(ranges([]), "");
        let two = [("b", 7), ("a", 1), ("b", 3), ("a", 0), ("b", 2)];
        assert_eq!(ranges(two), "a: 2 [0-1], b: 3 [2-3, 7]");
        let many = ranges((0..10_000).map(|partition| ("a", partition)));
        assert_eq!(many, "a: 10,000 [0-9999]");
        let gaps = ranges((0..50).map(|partition| ("a", 2 * partition)));
        assert_eq!(gaps, "a: 50 [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, …]");
        let names: Vec<_> = (0..12).map(|number| format!("t{number:02}")).collect();
        let topics = ranges(names.iter().map(|name| (name.as_str(), 0)));
        assert!(topics.ends_with("t09: 1 [0] and 2 more topics"), "{topics}");
    }

    #[test]
    fn numbers_have_commas() {
        assert_eq!(grouped(1), "1");
        assert_eq!(grouped(100), "100");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
