use crate::plan::Plan;

/// After so many runs the smallest that was found is small enough.
const MOST_RUNS: usize = 500;

/// Makes a case smaller, as long as `fails` says that the smaller one still fails in the same way. Returns it, and how
/// many runs it took.
///
/// First the order of events goes back to the usual one, if that will do; then faults are left out, the first half and the
/// second, and then one by one; then the decisions are made boring, from the end on.
pub(super) fn shrink(case: Plan, fails: &mut dyn FnMut(&Plan) -> bool) -> (Plan, usize) {
    let mut shrinking = Shrinking {
        case,
        fails,
        runs: 0,
    };
    loop {
        let before = shrinking.case.clone();
        shrinking.forget_decisions();
        shrinking.leave_out_faults();
        shrinking.bore();
        if shrinking.case == before || shrinking.runs >= MOST_RUNS {
            return (shrinking.case, shrinking.runs);
        }
    }
}

struct Shrinking<'f> {
    case: Plan,
    fails: &'f mut dyn FnMut(&Plan) -> bool,
    runs: usize,
}

impl Shrinking<'_> {
    /// Takes a smaller case if it fails too.
    fn take(&mut self, smaller: Plan) -> bool {
        if self.runs >= MOST_RUNS || smaller == self.case {
            return false;
        }
        self.runs += 1;
        let taken = (self.fails)(&smaller);
        if taken {
            self.case = smaller;
        }
        taken
    }

    fn forget_decisions(&mut self) {
        let smaller = Plan {
            faults: self.case.faults.clone(),
            picks: Vec::new(),
        };
        self.take(smaller);
    }

    fn leave_out_faults(&mut self) {
        let mut size = self.case.faults.len();
        while size > 0 {
            let mut at = 0;
            while at < self.case.faults.len() {
                let mut smaller = self.case.clone();
                let end = (at + size).min(smaller.faults.len());
                smaller.faults.drain(at..end);
                if !self.take(smaller) {
                    at += size;
                }
            }
            size /= 2;
        }
    }

    fn bore(&mut self) {
        let mut length = self.case.picks.len() / 2;
        while length < self.case.picks.len() && self.runs < MOST_RUNS {
            let mut smaller = self.case.clone();
            smaller.picks.truncate(length);
            match self.take(smaller) {
                true => length /= 2,
                false => length += (self.case.picks.len() - length).div_ceil(2),
            }
        }
        let mut size = self.case.picks.len() / 2;
        while size > 0 {
            for at in (0..self.case.picks.len()).step_by(size) {
                let mut smaller = self.case.clone();
                let end = (at + size).min(smaller.picks.len());
                if at < end && smaller.picks[at..end].iter().any(|pick| *pick > 0) {
                    smaller.picks[at..end].fill(0);
                    while smaller.picks.last() == Some(&0) {
                        smaller.picks.pop();
                    }
                    self.take(smaller);
                }
            }
            size /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{Fault, Site};

    #[test]
    fn what_does_not_matter_is_left_out() {
        let fault = |number| (Site::new("c1/due", number), Fault::CrashBefore);
        let case = Plan {
            faults: (1..=12).map(fault).collect(),
            picks: vec![3, 0, 2, 1, 1, 4, 0, 1],
        };
        let (small, runs) = shrink(case, &mut |case| {
            let faults = case.faults.contains(&fault(4)) && case.faults.contains(&fault(9));
            faults && case.picks.get(3) == Some(&1)
        });
        assert_eq!(small.faults, [fault(4), fault(9)]);
        assert_eq!(small.picks, [0, 0, 0, 1]);
        assert!(runs < 100, "{runs}");
    }
}
