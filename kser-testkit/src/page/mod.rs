//! The picture of a failing run: one HTML file, with the good run beside it.

mod course;
mod escape;
mod file;
mod lanes;
mod messages;
mod rows;
mod table;

use std::fmt::Write;

use self::escape::Escaped;
pub(crate) use self::file::write;
use self::lanes::Lanes;
use self::messages::Messages;
use self::table::Table;
use crate::faults::{Fault, Site};
use crate::sim::{Moment, Trace};

const STYLE: &str = include_str!("style.css");
const SIGNS: &str = include_str!("signs.svg");

/// Nothing is loaded, and no script runs.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The content of a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page<'p> {
    /// The name of the test.
    pub(crate) test: Option<&'p str>,
    /// The kind of the failure, such as the name of the invariant that is violated.
    pub(crate) broken: &'p str,
    pub(crate) what: &'p str,
    pub(crate) faults: &'p [(Site, Fault)],
    /// The order of events, in words.
    pub(crate) order: &'p str,
    /// The command that makes the run again.
    pub(crate) again: &'p str,
    pub(crate) failing: &'p Trace,
    /// The run without faults, unless it is the failing run.
    pub(crate) good: Option<&'p Trace>,
}

impl Page<'_> {
    /// Returns the page.
    pub(crate) fn render(&self) -> String {
        let mut page = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut page);
        page
    }

    fn write(&self, page: &mut String) -> std::fmt::Result {
        let good = self.good.map_or(&[][..], Trace::events);
        let failing = self.failing.events();
        let events = failing.iter().chain(good);
        let lanes = Lanes::of(events.clone());
        let messages = Messages::of(events);
        let test = self.test.unwrap_or("a simulated run");
        write!(
            page,
            "<!doctype html><html lang=en><head><meta charset=utf-8><meta http-equiv=Content-Security-Policy content=\"{POLICY}\">\
             <meta name=viewport content=\"width=device-width,initial-scale=1\"><meta name=color-scheme content=\"light dark\">\
             <meta name=referrer content=no-referrer><title>{} fails</title><style>{STYLE}",
            Escaped::short(test)
        )?;
        lanes.rules(page)?;
        messages.rules(page)?;
        write!(page, "</style></head><body>{SIGNS}")?;
        self.head(page, Escaped::path(test))?;
        self.switches(page, &messages)?;
        let table = Table {
            lanes: &lanes,
            messages: &messages,
            failing,
            good: self.good.map(Trace::events),
            broken: (self.broken, self.what),
        };
        table.write(page)?;
        page.push_str("</body></html>\n");
        Ok(())
    }

    /// Writes the violation, the faults, and the command that makes the run again.
    fn head(&self, page: &mut String, title: Escaped<'_>) -> std::fmt::Result {
        let (broken, what) = (Escaped::all(self.broken), Escaped::all(self.what));
        write!(
            page,
            "<header><p class=kind>kser-testkit · a run that fails</p><h1>{title}</h1>\
             <div class=broken><strong>{broken}</strong><p>{what}</p></div><dl>"
        )?;
        page.push_str("<dt>Fault</dt><dd>");
        if self.faults.is_empty() {
            page.push_str("none");
        }
        for (number, (site, fault)) in self.faults.iter().enumerate() {
            let site = site.to_string();
            write!(
                page,
                "<p><a href=#fault{}><svg class=sign aria-hidden=true><use href=#z x=8 y=8 class=z /></svg>{fault} {}</a> \
                 <span class=note>{}</span></p>",
                number + 1,
                Escaped::all(&site),
                fault.meaning()
            )?;
        }
        let last = self.failing.events().last();
        let last = last.map_or_else(String::new, |event| Moment(event.at).to_string());
        write!(
            page,
            "</dd><dt>Order</dt><dd>{}</dd><dt>Run</dt><dd>{} events until {last}, hash {:016x}; <a href=#end>see its end</a></dd>\
             <dt>Again</dt><dd><code>{}</code></dd></dl></header>",
            Escaped::all(self.order),
            self.failing.len(),
            self.failing.hash(),
            Escaped::all(self.again)
        )
    }

    /// Writes the choices: the run that a narrow window shows, and the message that is followed.
    fn switches(&self, page: &mut String, messages: &Messages) -> std::fmt::Result {
        page.push_str("<section class=switches>");
        if self.good.is_some() {
            page.push_str(
                "<fieldset class=narrow><legend>Show</legend><label class=chip><input type=radio name=show id=sf checked>failing run\
                 </label><label class=chip><input type=radio name=show id=sg>good run</label></fieldset>",
            );
        }
        messages.buttons(page)?;
        page.push_str("<details><summary>How to read it</summary><ul class=legend>");
        for (sign, meaning) in LEGEND {
            write!(
                page,
                "<li><svg class=sign aria-hidden=true><use href=#{sign} x=8 y=8 class=n /></svg>{meaning}</li>"
            )?;
        }
        page.push_str(
            "</ul><p>Time goes down, and is that of the simulation. Rows at one time are in the order of their events. A bar is a handler \
             that runs, a lane without a line is a process that is down, a dotted bar one that is frozen, a red bar an outage. Each run \
             has a colour. A message is followed by its button or its name in a row; ↑ and ↓ lead to its event before and behind. \
             Rows in which the runs differ have a mark at their edge.</p></details></section>",
        );
        Ok(())
    }
}

const LEGEND: [(&str, &str); 9] = [
    ("t", "publishes a record, or joins and leaves the group"),
    ("s", "receives a record"),
    ("i", "a handler begins"),
    ("k", "a handler succeeds, or a delivery is acknowledged"),
    ("w", "a handler fails, a call is refused, a process crashes"),
    ("q", "writes to the store"),
    ("g", "calls an external service"),
    ("v", "a delivery is given back, or a process ends"),
    ("z", "the fault that the simulation injects"),
];
