use std::time::Duration;

use crate::sim::{Act, Event};

/// The rows at the beginning that are always shown.
const BEGIN: usize = 150;
/// The rows at the end that are always shown.
const END: usize = 400;
/// The rows before and behind a fault that are shown.
const AROUND: (usize, usize) = (100, 250);
/// The first faults around which rows are shown.
const FAULTS: usize = 3;
/// The largest table in which equal events of one moment are looked for; the events of larger ones stand beside each other as they
/// come.
const TABLE: usize = 4_000_000;

/// A row of the picture: an event of the failing run, beside an event of the good run at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) at: Duration,
    /// The number of the event in the failing run.
    pub(super) failing: Option<usize>,
    /// The number of the event in the good run.
    pub(super) good: Option<usize>,
    /// Both events are the same.
    pub(super) same: bool,
}

/// A part of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Row(Row),
    /// This many rows are left out.
    Cut(usize),
}

/// Lists the rows, with the events of both runs on one time axis. Equal events of a moment stand beside each other.
pub(super) fn rows(failing: &[Event], good: &[Event]) -> Vec<Row> {
    let mut rows = Vec::new();
    let (mut f, mut g) = (0, 0);
    while f < failing.len() || g < good.len() {
        let moments = [failing.get(f), good.get(g)];
        let Some(at) = moments.into_iter().flatten().map(moment).min() else {
            break;
        };
        let count = |events: &[Event]| {
            events
                .iter()
                .take_while(|event| moment(event) == at)
                .count()
        };
        let (fs, gs) = (count(&failing[f..]), count(&good[g..]));
        let pairs = equal(&failing[f..f + fs], &good[g..g + gs]);
        let (mut before_f, mut before_g) = (f, g);
        for (pair_f, pair_g) in pairs.into_iter().map(|(a, b)| (f + a, g + b)) {
            beside(&mut rows, at, before_f..pair_f, before_g..pair_g);
            rows.push(Row {
                at,
                failing: Some(pair_f),
                good: Some(pair_g),
                same: true,
            });
            (before_f, before_g) = (pair_f + 1, pair_g + 1);
        }
        (f, g) = (f + fs, g + gs);
        beside(&mut rows, at, before_f..f, before_g..g);
    }
    rows
}

/// Returns the time of an event as it is shown, in whole milliseconds.
fn moment(event: &Event) -> Duration {
    let millis = u64::try_from(event.at.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(millis)
}

/// Adds rows of events that differ.
fn beside(
    rows: &mut Vec<Row>,
    at: Duration,
    mut failing: std::ops::Range<usize>,
    mut good: std::ops::Range<usize>,
) {
    loop {
        let row = Row {
            at,
            failing: failing.next(),
            good: good.next(),
            same: false,
        };
        if row.failing.is_none() && row.good.is_none() {
            return;
        }
        rows.push(row);
    }
}

/// Returns the longest common subsequence, as pairs of places.
fn equal(failing: &[Event], good: &[Event]) -> Vec<(usize, usize)> {
    let is_same = |a: &Event, b: &Event| a.who == b.who && a.what == b.what;
    let both = failing.iter().zip(good);
    let prefix = both.take_while(|(a, b)| is_same(a, b)).count();
    let mut pairs: Vec<_> = (0..prefix).map(|at| (at, at)).collect();
    let (failing, good) = (&failing[prefix..], &good[prefix..]);
    let width = good.len() + 1;
    if failing.is_empty() || good.is_empty() || failing.len() * width > TABLE {
        return pairs;
    }
    // The length of the longest common subsequence behind each pair of places.
    let mut lengths = vec![0_u32; (failing.len() + 1) * width];
    for a in (0..failing.len()).rev() {
        for b in (0..good.len()).rev() {
            lengths[a * width + b] = match is_same(&failing[a], &good[b]) {
                true => lengths[(a + 1) * width + b + 1] + 1,
                false => lengths[(a + 1) * width + b].max(lengths[a * width + b + 1]),
            };
        }
    }
    let (mut a, mut b) = (0, 0);
    while a < failing.len() && b < good.len() {
        if is_same(&failing[a], &good[b]) {
            pairs.push((prefix + a, prefix + b));
            (a, b) = (a + 1, b + 1);
        } else if lengths[(a + 1) * width + b] >= lengths[a * width + b + 1] {
            a += 1;
        } else {
            b += 1;
        }
    }
    pairs
}

/// Leaves out rows of a long run: those that are far from its beginning, its faults and its end.
pub(super) fn parts(rows: &[Row], failing: &[Event]) -> Vec<Part> {
    let event = |row: &Row| row.failing.and_then(|at| failing.get(at));
    let is_fault =
        |row: &Row| event(row).is_some_and(|event| matches!(event.mark.act, Act::Fault(..)));
    let faults = rows.iter().enumerate().filter(|(_, row)| is_fault(row));
    let faults: Vec<usize> = faults.map(|(at, _)| at).take(FAULTS).collect();
    let is_shown = |at: usize| {
        let near = |fault: &usize| at + AROUND.0 >= *fault && at <= *fault + AROUND.1;
        at < BEGIN || at + END >= rows.len() || faults.iter().any(near)
    };
    let mut parts = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        match (is_shown(at), parts.last_mut()) {
            (true, _) => parts.push(Part::Row(*row)),
            (false, Some(Part::Cut(count))) => *count += 1,
            (false, _) => parts.push(Part::Cut(1)),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Trace;

    fn events(lines: &[(u64, &str)]) -> Trace {
        let mut trace = Trace::default();
        for (millis, what) in lines {
            let at = Duration::from_millis(*millis);
            trace.note(at, "c1", Act::Other.into(), (*what).to_owned());
        }
        trace
    }

    #[test]
    fn equal_events_of_a_moment_stand_beside_each_other() {
        let failing = events(&[(0, "a"), (0, "fault"), (0, "c"), (7, "again")]);
        let good = events(&[(0, "a"), (0, "b"), (0, "c"), (0, "d")]);
        let rows = rows(failing.events(), good.events());
        let shown = rows.iter().map(|row| (row.failing, row.good, row.same));
        let shown: Vec<_> = shown.collect();
        assert_eq!(
            shown,
            [
                (Some(0), Some(0), true),
                (Some(1), Some(1), false),
                (Some(2), Some(2), true),
                (None, Some(3), false),
                (Some(3), None, false),
            ]
        );
    }

    #[test]
    fn a_long_run_is_cut_far_from_its_ends_and_its_faults() {
        let mut trace = events(&[(0, "a"); 5000]);
        let fault = Act::Fault(crate::faults::Fault::Reject, crate::faults::Kind::Write);
        trace.note(Duration::ZERO, "c1", fault.into(), "reject".to_owned());
        for _ in 0..5000 {
            trace.note(Duration::ZERO, "c1", Act::Other.into(), "b".to_owned());
        }
        let parts = parts(&rows(trace.events(), &[]), trace.events());
        let cut: Vec<usize> = parts
            .iter()
            .filter_map(|part| match part {
                Part::Cut(count) => Some(*count),
                Part::Row(_) => None,
            })
            .collect();
        assert_eq!(cut, [5000 - BEGIN - AROUND.0, 5000 - AROUND.1 - END]);
        assert_eq!(parts.len() - 2 + cut[0] + cut[1], 10_001);
    }
}
