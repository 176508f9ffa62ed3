use std::collections::BTreeMap;
use std::fmt::Write;

use super::lanes::Lanes;
use super::messages::{Message, Messages};
use crate::faults::Fault;
use crate::sim::{Act, Event};

/// The state of the lanes of a run, from one event to the next.
#[derive(Debug)]
pub(super) struct Course<'l> {
    lanes: &'l Lanes,
    processes: BTreeMap<usize, Process>,
    /// The lane of the broker or of the store while it refuses all calls.
    outage: Option<usize>,
    ended: bool,
}

/// The state of a process.
#[derive(Debug, Default)]
struct Process {
    alive: bool,
    frozen: bool,
    /// The messages whose handlers run, and their colours.
    running: Vec<(String, String)>,
}

impl Process {
    /// Returns the class of its lane.
    fn class(&self) -> Option<String> {
        match self {
            Self { frozen: true, .. } => Some("f".to_owned()),
            Self { alive: false, .. } => Some("x".to_owned()),
            Self { running, .. } => running.last().map(|(_, colour)| format!("b {colour}")),
        }
    }
}

impl<'l> Course<'l> {
    pub(super) fn new(lanes: &'l Lanes) -> Self {
        let mut processes = BTreeMap::new();
        for lane in 0..lanes.broker {
            processes.insert(lane, Process::default());
        }
        Self {
            lanes,
            processes,
            outage: None,
            ended: false,
        }
    }

    /// Ends the lanes: the run is over.
    pub(super) const fn end(&mut self) {
        self.ended = true;
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Draws a row without an event of this run.
    pub(super) fn quiet(&self, page: &mut String) -> std::fmt::Result {
        if self.ended {
            return Ok(());
        }
        let classes = self.classes();
        page.push_str("<svg aria-hidden=true>");
        bars(page, self.lanes, &classes, &classes)?;
        page.push_str("</svg>");
        Ok(())
    }

    /// Draws the row of an event, after which the lanes are in another state.
    pub(super) fn draw(
        &mut self,
        page: &mut String,
        event: &Event,
        messages: &Messages,
    ) -> std::fmt::Result {
        let message = messages.message(event);
        let before = self.classes();
        self.apply(event, message);
        let after = self.classes();
        page.push_str("<svg aria-hidden=true>");
        bars(page, self.lanes, &before, &after)?;
        if let Some(from) = self.lanes.processes.get(&event.who) {
            let colour = message.map_or_else(|| "n".to_owned(), |message| message.colour());
            self.mark(page, event, *from, &colour)?;
        }
        page.push_str("</svg>");
        Ok(())
    }

    /// Goes past an event that is not shown.
    pub(super) fn skip(&mut self, event: &Event, messages: &Messages) {
        self.apply(event, messages.message(event));
    }

    fn classes(&self) -> Vec<Option<String>> {
        let lane = |lane| match self.processes.get(&lane) {
            Some(process) => process.class(),
            None => (self.outage == Some(lane)).then(|| "o".to_owned()),
        };
        (0..self.lanes.names.len()).map(lane).collect()
    }

    fn apply(&mut self, event: &Event, message: Option<Message<'_>>) {
        match event.mark.act {
            Act::Fault(Fault::OutageFails | Fault::OutageHangs, kind) => {
                self.outage = self.lanes.of_kind(kind);
            }
            Act::Recover => self.outage = None,
            _ => {}
        }
        let lane = self.lanes.processes.get(&event.who);
        let Some((lane, process)) =
            lane.and_then(|lane| Some((lane, self.processes.get_mut(lane)?)))
        else {
            return;
        };
        if self.lanes.shared.contains(lane) {
            process.alive = true;
            return;
        }
        let label = message.map(|message| (message.label.to_owned(), message.colour()));
        match event.mark.act {
            Act::Crash | Act::End => *process = Process::default(),
            Act::Fault(Fault::Freeze, _) => process.frozen = true,
            Act::Thaw => process.frozen = false,
            Act::Begin => process.running.extend(label),
            Act::Return { .. } => {
                let ended = process
                    .running
                    .iter()
                    .position(|running| Some(running) == label.as_ref());
                if let Some(ended) = ended {
                    process.running.remove(ended);
                }
            }
            // A client shows itself by its first call.
            _ => process.alive = true,
        }
    }

    /// Draws the mark of an event.
    fn mark(
        &self,
        page: &mut String,
        event: &Event,
        from: usize,
        colour: &str,
    ) -> std::fmt::Result {
        let (broker, store) = (Some(self.lanes.broker), Some(self.lanes.store));
        let (to, line, sign) = match &event.mark.act {
            Act::Publish => (broker, "a", "t"),
            Act::Receive => (broker, "a", "s"),
            Act::Commit { accepted: true } => (broker, "d", "k"),
            Act::Release => (broker, "d", "v"),
            Act::Commit { accepted: false } => (broker, "d", "w"),
            Act::Write { accepted: true } => (store, "a", "q"),
            Act::Write { accepted: false } => (store, "d", "w"),
            Act::Join | Act::Leave => (broker, "d", "t"),
            Act::Refuse(kind) => (self.lanes.of_kind(*kind), "d", "w"),
            Act::Effect(service) => (self.lanes.services.get(&**service).copied(), "a", "g"),
            Act::Fault(_, kind) => (self.lanes.of_kind(*kind), "z", "z"),
            Act::Start => (None, "", "u"),
            Act::End => (None, "", "v"),
            Act::Crash => (None, "", "w"),
            Act::Begin => (None, "", "i"),
            Act::Return { succeeded: true } => (None, "", "k"),
            Act::Return { succeeded: false } => (None, "", "w"),
            Act::Other | Act::Thaw | Act::Recover => (None, "", "u"),
        };
        let start = self.lanes.x(from);
        let Some(end) = to.map(|to| self.lanes.x(to)) else {
            return write!(page, "<use href=#{sign} x={start} y=50% class={colour} />");
        };
        write!(
            page,
            "<line x1={start} x2={end} y1=50% y2=50% class=\"{line} {colour}\" />"
        )?;
        // A record comes to its consumer; everything else goes away from the process.
        let (near, far) = match event.mark.act {
            Act::Receive => (Some(&end), &start),
            Act::Fault(..) => (None, &start),
            _ => (Some(&start), &end),
        };
        if let Some(near) = near {
            write!(page, "<use href=#p x={near} y=50% class={colour} />")?;
        }
        write!(page, "<use href=#{sign} x={far} y=50% class={colour} />")
    }
}

/// Draws the bars of a row: the upper half as it was before its event, the lower half as it is after it.
fn bars(
    page: &mut String,
    lanes: &Lanes,
    before: &[Option<String>],
    after: &[Option<String>],
) -> std::fmt::Result {
    for (lane, (before, after)) in before.iter().zip(after).enumerate() {
        let x = lanes.x(lane);
        match (before, after) {
            (Some(before), Some(after)) if before == after => bar(page, &x, before, ("0", "100%"))?,
            (before, after) => {
                if let Some(class) = before {
                    bar(page, &x, class, ("0", "50%"))?;
                }
                if let Some(class) = after {
                    bar(page, &x, class, ("50%", "100%"))?;
                }
            }
        }
    }
    Ok(())
}

fn bar(page: &mut String, x: &str, class: &str, (from, to): (&str, &str)) -> std::fmt::Result {
    write!(
        page,
        "<line x1={x} x2={x} y1={from} y2={to} class=\"{class}\" />"
    )
}
