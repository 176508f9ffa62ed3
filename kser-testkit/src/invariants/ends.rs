use super::Broken;
use crate::sim::{End, Finished};

/// What was asked for comes to an end.
pub(super) fn judge<S>(finished: &Finished<S>) -> Option<Broken> {
    match &finished.end {
        End::Done => None,
        End::Panicked(what) => Some(Broken::new("NoPanic", what.clone())),
        End::Endless => {
            let what = format!("the run goes on and on: {} calls were made", finished.steps);
            Some(Broken::new("NoLivelock", what))
        }
        End::Late => Some(Broken::new("Terminal", left_over(finished))),
    }
}

/// What is not done.
fn left_over<S>(finished: &Finished<S>) -> String {
    let left = finished.shared.with(|state| {
        let runs = state.facts.runs.iter().filter(|(_, run)| run.launched);
        let open = runs.filter(|(_, run)| !run.status.is_some_and(|status| status.is_terminal()));
        let mut left: Vec<String> = open
            .map(|(id, run)| match run.status {
                Some(status) => format!("{id} is {status}"),
                None => format!("nothing was seen of {id} but its launch"),
            })
            .collect();
        let waiting = state.broker.waiting();
        let records = waiting
            .into_iter()
            .map(|(spot, record)| (spot, record.clone()));
        let records: Vec<_> = records.collect();
        for (spot, record) in records {
            let label = state.labels.record(&record);
            left.push(format!("the record of {label} waits in {}", spot.topic));
        }
        if !state.outputs.is_empty() {
            left.push(format!("{} outputs are not relayed", state.outputs.len()));
        }
        left
    });
    let left = match left.is_empty() {
        true => "a client or a consumer has not come to its end".to_owned(),
        false => left.join("; "),
    };
    format!("after {:?} this is left: {left}", finished.elapsed)
}
