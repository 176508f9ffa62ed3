//! The decisions of a run: the choice of the next event where several are possible.

/// The source of the decisions. 0 is always the most boring one: the same process goes on, in the order of its requests.
#[derive(Debug, Clone)]
pub(crate) enum Choices {
    /// A seed decides.
    Seeded(u64),
    /// The decisions of an earlier run, and 0 after them.
    Replay(Vec<u32>),
    /// A replay in which at most this many decisions are not 0.
    Bounded(Vec<u32>, u32),
}

impl Choices {
    /// Returns choices that always decide 0, the most boring.
    pub(crate) const fn boring() -> Self {
        Self::Replay(Vec::new())
    }
}

/// A tape of decisions, each with the number of its alternatives.
#[derive(Debug, Clone)]
pub(crate) struct DecisionTape {
    choices: Choices,
    made: Vec<(u32, u32)>,
    departures: u32,
}

impl DecisionTape {
    pub(crate) const fn new(choices: Choices) -> Self {
        Self {
            choices,
            made: Vec::new(),
            departures: 0,
        }
    }

    /// Decides between `count` alternatives. Returns whether there was a choice, and the decision.
    pub(crate) fn pick(&mut self, count: usize) -> (bool, usize) {
        let spent = matches!(self.choices, Choices::Bounded(_, most) if self.departures >= most);
        if count < 2 || spent {
            return (false, 0);
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let at = self.made.len();
        let picked = match &mut self.choices {
            Choices::Seeded(seed) => u32::try_from(next(seed) % u64::from(count)).unwrap_or(0),
            Choices::Replay(made) | Choices::Bounded(made, _) => {
                made.get(at).map_or(0, |made| made % count)
            }
        };
        if picked > 0 {
            self.departures += 1;
        }
        self.made.push((picked, count));
        (true, picked as usize)
    }

    /// Returns the decisions without the zeros at the end.
    pub(crate) fn picks(&self) -> Vec<u32> {
        let picks = self.made.iter().map(|(picked, _)| *picked);
        without_boring_end(picks.collect())
    }

    /// Describes the first decision of a replay that was not made as it was written down, if there is any.
    pub(crate) fn strays(&self, picks: &[u32]) -> Option<String> {
        let mut picks = picks.iter().enumerate().filter(|(_, pick)| **pick > 0);
        picks.find_map(|(at, pick)| {
            let number = at + 1;
            match self.made.get(at) {
                Some((made, _)) if made == pick => None,
                Some((_, count)) => Some(format!(
                    "decision {number} was to be {pick}, and there are {count} to choose from, counted from 0"
                )),
                None => Some(format!(
                    "decision {number} was to be {pick}, and the run asks for {}",
                    self.made.len()
                )),
            }
        })
    }

    /// Returns the beginning of the next different tape: the last decision that has a further alternative takes it.
    pub(crate) fn next(&self) -> Option<Vec<u32>> {
        let last = self
            .made
            .iter()
            .rposition(|(picked, count)| picked + 1 < *count)?;
        let picks = self.made.iter().take(last + 1).map(|(picked, _)| *picked);
        let mut picks: Vec<u32> = picks.collect();
        picks[last] += 1;
        Some(picks)
    }
}

/// Removes the zeros at the end, which would be decided anyway.
pub(crate) fn without_boring_end(mut picks: Vec<u32>) -> Vec<u32> {
    while picks.last() == Some(&0) {
        picks.pop();
    }
    picks
}

/// SplitMix64: the next number of a seed.
pub(crate) const fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tape_is_seen_once() {
        let (mut seen, mut made) = (Vec::new(), Some(Vec::new()));
        while let Some(picks) = made {
            let mut tape = DecisionTape::new(Choices::Replay(picks));
            let (_, first) = tape.pick(3);
            // The second decision depends on the first.
            let (_, second) = tape.pick(first + 1);
            seen.push((first, second));
            made = tape.next();
        }
        assert_eq!(seen, [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]);
    }

    #[test]
    fn after_enough_departures_all_is_boring() {
        let mut tape = DecisionTape::new(Choices::Bounded(vec![1, 1, 1], 2));
        let picked: Vec<usize> = (0..3).map(|_| tape.pick(2).1).collect();
        assert_eq!(picked, [1, 1, 0]);
    }
}
