use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    records: 6,
    bytes: 100,
    partitions: 2,
};

/// A broker, a poll thread and an owner that carry out the actions. Each decision is the next of a list of numbers; when the list
/// is used up, all goes well.
#[derive(Default)]
struct Model {
    decisions: std::vec::IntoIter<u8>,
    /// The outputs and the inputs of the open transaction.
    outputs: Vec<RecordId>,
    inputs: Vec<RecordId>,
    is_open: bool,
    /// A repeated request to commit that has not arrived yet.
    ghost: bool,
    /// The producer sends each record in a batch of its own.
    alone: bool,
    /// A record of the producer was not published, so that the broker refuses its later ones.
    gaps: bool,
    /// The committed deliveries, in order.
    committed: Vec<RecordId>,
    /// The statement that the poll thread has made, and the assignments that it has lost.
    stated: Vec<RecordId>,
    lost: BTreeSet<u64>,
    /// The reports and answers of the transaction that have not come yet.
    pending: Vec<Event>,
    /// The records whose outputs are refused.
    poison: BTreeSet<RecordId>,
    /// The deliveries whose outputs take the place of refused ones.
    substitutes: BTreeSet<u64>,
    ends: BTreeMap<u64, Ending>,
    handed_in: Vec<Ended>,
}

impl Model {
    fn decide(&mut self, of: u8) -> u8 {
        self.decisions.next().map_or(0, |decision| decision % of)
    }

    fn commit(&mut self) {
        let (outputs, inputs) = (
            std::mem::take(&mut self.outputs),
            std::mem::take(&mut self.inputs),
        );
        let with_outputs = inputs.iter().filter(|id| {
            let of = self.handed_in.iter().find(|ended| ended.id == **id);
            of.unwrap().records > 0
        });
        let with_outputs: Vec<_> = with_outputs.copied().collect();
        assert_eq!(
            outputs, with_outputs,
            "outputs and offsets are committed together"
        );
        for id in inputs {
            assert!(!self.committed.contains(&id), "{id:?} is committed twice");
            self.committed.push(id);
        }
        self.is_open = false;
    }

    fn abort(&mut self) {
        self.pending.clear();
        self.outputs.clear();
        self.inputs.clear();
        self.is_open = false;
    }

    /// Hands a dead letter in for each delivery that was refused, with other deliveries between.
    fn hand_substitutes_in(&mut self, window: &mut Window) {
        let refused = self.ends.iter().filter(|(_, end)| **end == Ending::Refused);
        let refused: Vec<_> = refused.map(|(number, _)| *number).collect();
        for number in refused {
            let id = self.ended(number).id;
            self.poison.remove(&id);
            let (substitute, other) = (number + 1000, number + 2000);
            self.substitutes.insert(substitute);
            for next in [
                ended(other, 3, 1),
                Ended {
                    number: substitute,
                    id,
                    records: 1,
                    bytes: 20,
                },
            ] {
                self.handed_in.push(next);
                window.handle(Event::HandedIn(next));
            }
        }
    }

    fn ended(&self, number: u64) -> Ended {
        let ended = self.handed_in.iter().find(|it| it.number == number);
        *ended.unwrap()
    }

    fn call(&mut self, window: &mut Window, step: Step) {
        if !matches!(step, Step::State | Step::SendOffsets) {
            // The client reports all before an abort returns.
            let failures = self.pending.drain(..);
            let failures = failures.filter(|event| matches!(event, Event::Failed(..)));
            failures.for_each(|event| window.handle(event));
        }
        // A repeated request arrives at a bad moment, unless its producer is fenced.
        if self.ghost && step != Step::Fence && self.is_open {
            self.ghost = false;
            self.commit();
        }
        let decision = self.decide(8);
        match step {
            Step::Fence => {
                if decision == 1 {
                    return window.handle(Event::Fenced(Answer::GiveUp));
                }
                self.ghost = false;
                self.abort();
                self.alone = window.is_next_alone();
                self.gaps = false;
                window.handle(Event::Fenced(Answer::Done));
            }
            Step::ReadBack => {
                let is_owned = |id: &&RecordId| !self.lost.contains(&id.assignment);
                let mut owned = self.stated.iter().filter(is_owned).peekable();
                let outcome = match owned.peek().is_some() {
                    false => Some(false),
                    true => Some(owned.all(|id| self.committed.contains(id))),
                };
                window.handle(Event::ReadBack(outcome.filter(|_| decision != 1)));
            }
            Step::Begin => {
                self.is_open = decision != 1;
                let answer = if self.is_open {
                    Answer::Done
                } else {
                    Answer::GiveUp
                };
                window.handle(Event::Begun(answer));
            }
            Step::State => self.state(window, decision),
            Step::SendOffsets => {
                let answer = match decision {
                    1 => Answer::Again,
                    2 => Answer::Abort,
                    3 => Answer::GiveUp,
                    _ => Answer::Done,
                };
                if matches!(answer, Answer::Done) || decision == 3 {
                    self.inputs.clone_from(&self.stated);
                }
                self.pending.push(Event::OffsetsSent(answer));
            }
            Step::Commit => {
                let answer = match decision {
                    1 | 2 => Answer::Again,
                    3 | 4 => Answer::GiveUp,
                    5 => Answer::Abort,
                    6 => Answer::DoneDoubtfully,
                    _ => Answer::Done,
                };
                // An unknown outcome may be either.
                if matches!(decision, 1 | 3)
                    || matches!(answer, Answer::Done | Answer::DoneDoubtfully)
                {
                    self.commit();
                }
                self.ghost = answer == Answer::DoneDoubtfully;
                window.handle(Event::Committed(answer));
            }
            Step::Abort => {
                let answer = if decision == 1 {
                    Answer::GiveUp
                } else {
                    Answer::Done
                };
                if answer == Answer::Done {
                    self.abort();
                }
                window.handle(Event::Aborted(answer));
            }
        }
    }

    /// States offsets as if the deliveries were done. Nothing is left of a statement whose transaction is aborted.
    fn state(&mut self, window: &Window, decision: u8) {
        let covers = window.covers();
        let lost = covers
            .iter()
            .filter(|(_, id)| self.lost.contains(&id.assignment));
        let lost: Vec<_> = lost.map(|(number, _)| *number).collect();
        let statement = match decision {
            _ if !lost.is_empty() => Statement::Lost(lost),
            1 => Statement::NotNow,
            _ if covers.is_empty() => Statement::Nothing,
            _ => Statement::Offsets,
        };
        if statement == Statement::Offsets {
            self.stated = covers.iter().map(|(_, id)| *id).collect();
        }
        self.pending.push(Event::Stated(statement));
    }

    fn send(&mut self, numbers: &[u64]) {
        let sent: Vec<_> = numbers.iter().map(|number| self.ended(*number)).collect();
        let records: usize = sent.iter().map(|it| it.records).sum();
        let is_bounded = records <= LIMITS.records
            && sent.iter().map(|it| it.bytes).sum::<usize>() <= LIMITS.bytes
            && sent
                .iter()
                .map(|it| it.id.assignment)
                .collect::<BTreeSet<_>>()
                .len()
                <= LIMITS.partitions;
        assert!(is_bounded || sent.len() == 1, "{sent:?}");
        let is_substitute = |it: &Ended| self.substitutes.contains(&it.number);
        assert!(
            sent.len() == 1 || !sent.iter().any(is_substitute),
            "a substitute has a window of its own: {sent:?}"
        );
        assert!(
            !self.gaps,
            "the producer is used after a record that was not published"
        );
        assert!(self.pending.is_empty(), "one transaction at a time");
        let has_poison = sent.iter().any(|it| self.poison.contains(&it.id));
        for ended in sent {
            if ended.records == 0 {
                continue;
            }
            self.outputs.push(ended.id);
            let failure = match self.decide(12) {
                1 => Some(Failure::Unknown),
                _ if has_poison && !self.alone && records > 1 => Some(Failure::Batch),
                _ => self.poison.contains(&ended.id).then_some(Failure::Batch),
            };
            self.gaps |= failure.is_some();
            if let Some(failure) = failure {
                self.pending.push(Event::Failed(ended.number, failure));
            }
            // The client reports some records behind a failure only after their timeout.
            if !self.gaps || self.decide(2) == 1 {
                self.pending.push(Event::Reported(ended.number));
            }
        }
    }

    /// Has the next report or answer come. The reports come in order, those of failures before them, and the answers for the
    /// offsets at any time between.
    fn happen(&mut self, window: &mut Window) -> bool {
        let is_of_offsets =
            |event: &Event| matches!(event, Event::Stated(_) | Event::OffsetsSent(_));
        let (of_offsets, reports): (Vec<_>, Vec<_>) =
            self.pending.drain(..).partition(is_of_offsets);
        let (mut of_offsets, mut reports) = (VecDeque::from(of_offsets), VecDeque::from(reports));
        let goes_first = self.decide(2) == 0;
        let event = match goes_first {
            true => of_offsets.pop_front().or_else(|| reports.pop_front()),
            false => reports.pop_front().or_else(|| of_offsets.pop_front()),
        };
        self.pending.extend(of_offsets);
        self.pending.extend(reports);
        match event {
            Some(event) => window.handle(event),
            None if window.awaits_last_reports() => window.handle(Event::GaveReportsUp),
            None => return false,
        }
        true
    }

    /// Carries out actions until the window waits, or for a number of steps.
    fn run(&mut self, window: &mut Window, steps: usize) -> bool {
        for _ in 0..steps {
            match window.next_action() {
                Action::Wait if self.happen(window) => {}
                Action::Wait | Action::End => return true,
                Action::Pause => window.handle(Event::Paused),
                Action::Call(step) => self.call(window, step),
                Action::Send(numbers) => self.send(&numbers),
                Action::Finish { ends, .. } => {
                    for (number, ending) in ends {
                        let id = self.ended(number).id;
                        let is_visible = self.committed.contains(&id);
                        match ending {
                            Ending::Settled => assert!(is_visible, "{id:?} is not committed"),
                            Ending::Refused => {
                                assert!(self.poison.contains(&id) && !is_visible, "{id:?}");
                            }
                            Ending::Lost => assert!(self.lost.contains(&id.assignment), "{id:?}"),
                        }
                        assert_eq!(self.ends.insert(number, ending), None, "it ends once");
                    }
                }
            }
        }
        false
    }
}

fn ended(number: u64, assignment: u64, records: usize) -> Ended {
    Ended {
        number,
        id: RecordId {
            assignment,
            offset: number.cast_signed(),
        },
        records,
        bytes: records * 20,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Deliveries are handed in while answers fail, outcomes stay unknown, partitions are lost and outputs are refused.
    #[test]
    fn each_delivery_is_committed_once_with_its_offset_or_not_at_all(
        decisions in vec(any::<u8>(), 0..120),
        deliveries in vec((1_u64..4, 0_usize..5, 0_u8..12), 1..20),
        losses in vec((0_usize..20, 1_u64..4), 0..2),
    ) {
        let mut model = Model { decisions: decisions.into_iter(), ..Model::default() };
        let mut window = Window::new(LIMITS);
        for (number, (assignment, records, fate)) in (0..).zip(&deliveries) {
            let ended = ended(number, *assignment, *records);
            if *fate == 0 && *records > 0 {
                model.poison.insert(ended.id);
            }
            model.handed_in.push(ended);
            window.handle(Event::HandedIn(ended));
            if losses.iter().any(|(at, _)| *at as u64 == number) {
                let lost = losses.iter().filter(|(at, _)| *at as u64 == number);
                model.lost.extend(lost.map(|(_, assignment)| *assignment));
            }
            if model.decide(3) == 1 {
                window.handle(Event::OffsetsWanted);
            }
            let steps = usize::from(model.decide(9));
            model.run(&mut window, steps);
        }
        prop_assert!(model.run(&mut window, 10_000), "it comes to rest");
        prop_assert_eq!(model.ends.len(), deliveries.len(), "each delivery has an end: {:?}", window);
        for ended in &model.handed_in {
            let is_left = model.lost.contains(&ended.id.assignment) || model.poison.contains(&ended.id);
            prop_assert!(model.committed.contains(&ended.id) || is_left, "{:?} is lost", ended);
        }
        for assignment in 1..4 {
            let of = model.committed.iter().filter(|id| id.assignment == assignment);
            prop_assert!(of.map(|id| id.offset).is_sorted(), "in the order of the hand-ins");
        }
        model.hand_substitutes_in(&mut window);
        prop_assert!(model.run(&mut window, 10_000), "it comes to rest");
        prop_assert_eq!(model.ends.len(), model.handed_in.len(), "each delivery has an end: {:?}", window);
    }

    /// A stop ends each delivery, whatever the window does meanwhile.
    #[test]
    fn a_stop_ends_all(decisions in vec(any::<u8>(), 0..60), count in 0_u64..9, steps in 0_usize..30) {
        let mut model = Model { decisions: decisions.into_iter(), ..Model::default() };
        let mut window = Window::new(LIMITS);
        for number in 0..count {
            let ended = ended(number, 1, 1);
            model.handed_in.push(ended);
            window.handle(Event::HandedIn(ended));
        }
        model.run(&mut window, steps);
        // The partitions of a poll thread that has ended are lost.
        model.lost.insert(1);
        window.handle(Event::Stopped);
        prop_assert!(model.run(&mut window, 10_000));
        prop_assert_eq!(window.next_action(), Action::End);
        prop_assert_eq!(model.ends.len() as u64, count);
    }
}

fn handed_in(count: u64) -> (Window, Model) {
    let (mut window, mut model) = (Window::new(LIMITS), Model::default());
    for number in 0..count {
        let ended = ended(number, 1, 1);
        model.handed_in.push(ended);
        window.handle(Event::HandedIn(ended));
    }
    (window, model)
}

/// Carries out actions up to a call.
fn reach(window: &mut Window, model: &mut Model, step: Step) {
    loop {
        match window.next_action() {
            Action::Call(call) if call == step => return,
            Action::Call(call) => model.call(window, call),
            Action::Send(numbers) => model.send(&numbers),
            Action::Wait if model.happen(window) => {}
            other => panic!("{other:?} before {step:?}"),
        }
    }
}

#[test]
fn a_producer_is_given_up_after_an_unknown_outcome_and_after_a_doubtful_commit() {
    for answer in [Answer::Again, Answer::GiveUp, Answer::DoneDoubtfully] {
        let (mut window, mut model) = handed_in(2);
        reach(&mut window, &mut model, Step::Commit);
        window.handle(Event::HandedIn(ended(9, 1, 1)));
        window.handle(Event::Committed(answer));
        let mut calls = Vec::new();
        while !calls.contains(&Step::Fence) {
            match window.next_action() {
                Action::Call(step) => calls.push(step),
                Action::Pause => window.handle(Event::Paused),
                Action::Finish { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(calls, [Step::Fence], "after {answer:?}");
        window.handle(Event::Fenced(Answer::Done));
        let next = match answer {
            Answer::DoneDoubtfully => Step::Begin,
            _ => Step::ReadBack,
        };
        assert_eq!(window.next_action(), Action::Call(next), "after {answer:?}");
    }
}

#[test]
fn a_record_that_alone_is_refused_comes_back_and_the_others_are_committed() {
    let (mut window, mut model) = handed_in(4);
    model.poison.insert(ended(2, 1, 1).id);
    assert!(model.run(&mut window, 1000));
    let ends: Vec<_> = model.ends.values().copied().collect();
    let settled = Ending::Settled;
    assert_eq!(ends, [settled, settled, Ending::Refused, settled]);
}

/// The substitute may be refused, too. A small dead letter follows it, and has a window of its own again.
#[test]
fn outputs_in_place_of_refused_ones_have_a_window_of_their_own() {
    let (mut window, mut model) = handed_in(2);
    let id = ended(1, 1, 1).id;
    model.poison.insert(id);
    assert!(model.run(&mut window, 1000));
    assert_eq!(model.ends[&1], Ending::Refused);
    for (number, ending) in [(2, Ending::Refused), (12, Ending::Settled)] {
        if ending == Ending::Settled {
            model.poison.clear();
        }
        model.substitutes.insert(number);
        for number in [number - 1, number, number + 1] {
            let mut next = ended(number + 100, 2, 1);
            if model.substitutes.contains(&number) {
                next = Ended { number, id, ..next };
            }
            model.handed_in.push(next);
            window.handle(Event::HandedIn(next));
        }
        assert!(model.run(&mut window, 1000));
        assert_eq!(model.ends[&number], ending);
    }
    let settled = model.ends.values().filter(|it| **it == Ending::Settled);
    assert_eq!(settled.count(), 6);
}

/// The statement is made, and the offsets are sent, while the reports are awaited. The next statement is made without the delivery.
#[test]
fn a_delivery_whose_offset_is_sent_and_whose_output_is_refused_comes_back() {
    let (mut window, mut model) = handed_in(2);
    model.poison.insert(ended(0, 1, 1).id);
    reach(&mut window, &mut model, Step::SendOffsets);
    model.inputs.clone_from(&model.stated);
    window.handle(Event::OffsetsSent(Answer::Done));
    assert!(model.run(&mut window, 1000));
    assert_eq!(model.ends[&0], Ending::Refused);
    assert_eq!(model.ends[&1], Ending::Settled);
}

/// The client reports the records that it has not sent yet only after the abort.
#[test]
fn offsets_that_are_refused_abort_the_transaction_before_its_reports() {
    let (mut window, mut model) = handed_in(1);
    reach(&mut window, &mut model, Step::SendOffsets);
    model.pending.clear();
    window.handle(Event::OffsetsSent(Answer::Abort));
    assert_eq!(window.next_action(), Action::Call(Step::Abort));
    model.abort();
    window.handle(Event::Aborted(Answer::Done));
    assert!(model.run(&mut window, 1000));
    assert_eq!(model.ends[&0], Ending::Settled);
}

#[test]
fn nothing_is_begun_without_work() {
    let (mut window, mut model) = handed_in(0);
    assert!(model.run(&mut window, 10));
    assert_eq!(window.next_action(), Action::Wait);
    window.handle(Event::OffsetsWanted);
    assert_eq!(window.next_action(), Action::Call(Step::Begin));
}
