use std::fmt::Write;
use std::time::Duration;

use super::course::Course;
use super::escape::Escaped;
use super::lanes::Lanes;
use super::messages::Messages;
use super::rows::{Part, Row, parts, rows};
use crate::sim::{Act, Event, Moment};

/// The table of the events: a row for each, the failing run on the left, the good run on the right.
#[derive(Debug)]
pub(super) struct Table<'t> {
    pub(super) lanes: &'t Lanes,
    pub(super) messages: &'t Messages,
    pub(super) failing: &'t [Event],
    pub(super) good: Option<&'t [Event]>,
    /// The kind of the failure, and its description.
    pub(super) broken: (&'t str, &'t str),
}

/// A run of the table: the side on which it stands.
struct Side<'t> {
    /// The prefix of the ids of its rows.
    id: char,
    events: &'t [Event],
    course: Course<'t>,
    /// The next event to be drawn.
    next: usize,
    /// For each event those before and behind it that are about the same message, if they are shown.
    neighbours: Vec<(Option<usize>, Option<usize>)>,
}

impl Side<'_> {
    /// Opens the cell of the lanes.
    fn open(&self, page: &mut String, classes: &str) -> std::fmt::Result {
        let over = if self.course.has_ended() { " over" } else { "" };
        write!(page, "<td class=\"l {}{over}{classes}\">", self.id)
    }
}

impl<'t> Table<'t> {
    /// Writes the table.
    pub(super) fn write(&self, page: &mut String) -> std::fmt::Result {
        let good = self.good.unwrap_or_default();
        let parts = parts(&rows(self.failing, good), self.failing);
        self.head(page)?;
        let mut sides = vec![self.side('f', self.failing, &parts)];
        if self.good.is_some() {
            sides.push(self.side('g', good, &parts));
        }
        let mut at = None;
        let mut faults = 0;
        for part in &parts {
            match part {
                Part::Row(row) => {
                    self.row(page, row, &mut sides, (at, &mut faults))?;
                    at = Some(row.at);
                }
                Part::Cut(count) => self.cut(page, *count)?,
            }
        }
        self.end(page, &mut sides)?;
        page.push_str("</tbody></table>");
        Ok(())
    }

    fn head(&self, page: &mut String) -> std::fmt::Result {
        let single = if self.good.is_some() {
            ""
        } else {
            " class=single"
        };
        write!(
            page,
            "<table{single}><thead><tr><th scope=col class=t>time<label for=all class=reset>show all</label></th>\
             <th scope=col class=\"l f\"><span class=sr>lanes of the failing run</span>"
        )?;
        self.lanes.head(page)?;
        page.push_str("</th><th scope=col class=\"w f\">failing run</th>");
        if self.good.is_some() {
            page.push_str(
                "<th scope=col class=\"l g\"><span class=sr>lanes of the good run</span>",
            );
            self.lanes.head(page)?;
            page.push_str("</th><th scope=col class=\"w g\">good run, without faults</th>");
        }
        page.push_str("</tr></thead><tbody>");
        Ok(())
    }

    fn side(&self, id: char, events: &'t [Event], parts: &[Part]) -> Side<'t> {
        let shown = parts.iter().filter_map(|part| match part {
            Part::Row(row) if id == 'f' => row.failing,
            Part::Row(row) => row.good,
            Part::Cut(_) => None,
        });
        let mut neighbours = vec![(None, None); events.len()];
        let mut latest: Vec<(Option<usize>, usize)> = Vec::new();
        for at in shown {
            let Some(message) = events
                .get(at)
                .and_then(|event| self.messages.message(event))
            else {
                continue;
            };
            match latest
                .iter_mut()
                .find(|(number, _)| *number == message.number)
            {
                Some((_, before)) => {
                    neighbours[at].0 = Some(*before);
                    neighbours[*before].1 = Some(at);
                    *before = at;
                }
                None => latest.push((message.number, at)),
            }
        }
        Side {
            id,
            events,
            course: Course::new(self.lanes),
            next: 0,
            neighbours,
        }
    }

    fn row(
        &self,
        page: &mut String,
        row: &Row,
        sides: &mut [Side<'_>],
        (before, faults): (Option<Duration>, &mut usize),
    ) -> std::fmt::Result {
        let failing = row.failing.and_then(|at| self.failing.get(at));
        let is_fault = failing.is_some_and(|event| matches!(event.mark.act, Act::Fault(..)));
        let mut classes = Vec::new();
        classes.extend(is_fault.then_some("fault"));
        classes.extend((!row.same && self.good.is_some()).then_some("differs"));
        classes.extend((before != Some(row.at)).then_some("later"));
        write!(page, "<tr class=\"{}\"", classes.join(" "))?;
        if is_fault {
            *faults += 1;
            write!(page, " id=fault{faults}")?;
        }
        page.push_str("><th scope=row class=t>");
        let passed = before.map(|before| row.at.saturating_sub(before));
        match passed {
            Some(Duration::ZERO) => write!(page, "<span class=sr>{}</span>", Moment(row.at))?,
            Some(passed) => write!(
                page,
                "<b>{}</b><small>{} later</small>",
                Moment(row.at),
                shown(passed)
            )?,
            None => write!(page, "<b>{}</b>", Moment(row.at))?,
        }
        page.push_str("</th>");
        for (side, at) in sides.iter_mut().zip([row.failing, row.good]) {
            self.cells(page, side, at)?;
        }
        page.push_str("</tr>");
        Ok(())
    }

    /// Writes the lanes and the text of an event, or of a row without one.
    fn cells(&self, page: &mut String, side: &mut Side<'_>, at: Option<usize>) -> std::fmt::Result {
        let id = side.id;
        let Some((at, event)) = at.and_then(|at| Some((at, side.events.get(at)?))) else {
            if side.next >= side.events.len() {
                side.course.end();
            }
            side.open(page, "")?;
            side.course.quiet(page)?;
            return write!(page, "</td><td class=\"w {id}\"></td>");
        };
        while let Some(skipped) = side.events.get(side.next).filter(|_| side.next < at) {
            side.course.skip(skipped, self.messages);
            side.next += 1;
        }
        side.next = at + 1;
        let message = self.messages.message(event);
        let follows = message.map_or_else(|| " e".to_owned(), |message| message.classes());
        side.open(page, &follows)?;
        side.course.draw(page, event, self.messages)?;
        write!(page, "</td><td class=\"w {id}{follows}\" id={id}{at}><div>")?;
        self.text(page, event)?;
        let neighbours = side.neighbours.get(at).copied().unwrap_or_default();
        if let Some(message) = message.filter(|_| neighbours != (None, None)) {
            page.push_str("<span class=next>");
            for (to, sign, which) in [(neighbours.0, '↑', "before"), (neighbours.1, '↓', "behind")]
            {
                if let Some(to) = to {
                    let label = Escaped::short(message.label);
                    write!(
                        page,
                        "<a href=#{id}{to} aria-label=\"event of {label} {which}\">{sign}</a>"
                    )?;
                }
            }
            page.push_str("</span>");
        }
        page.push_str("</div></td>");
        Ok(())
    }

    /// Writes the text of an event, in which the name of its message is a button.
    fn text(&self, page: &mut String, event: &Event) -> std::fmt::Result {
        write!(page, "<p><b>{}</b> ", Escaped::short(&event.who))?;
        if matches!(event.mark.act, Act::Fault(..)) {
            page.push_str("fault: ");
        }
        let message = self.messages.message(event);
        let parts =
            message.and_then(|message| Some((message, event.what.split_once(message.label)?)));
        let Some((message, (front, back))) = parts else {
            return write!(page, "{}</p>", Escaped::path(&event.what));
        };
        write!(page, "{}", Escaped::path(front))?;
        let (label, colour) = (Escaped::path(message.label), message.colour());
        match message.button() {
            Some(id) => write!(
                page,
                "<label for={id} class=\"name {colour}\">{label}</label>"
            )?,
            None => write!(page, "<span class=\"name {colour}\">{label}</span>")?,
        }
        write!(page, "{}</p>", Escaped::path(back))
    }

    fn cut(&self, page: &mut String, count: usize) -> std::fmt::Result {
        let columns = if self.good.is_some() { 5 } else { 3 };
        write!(
            page,
            "<tr class=cut><td colspan={columns}>{count} rows are left out of this page, which shows the beginning, the faults and the end of \
             a long run. KSER_TESTKIT_TRACE=full prints all events of the failing run.</td></tr>"
        )
    }

    /// Writes the last row: the violation, and the end of the good run.
    fn end(&self, page: &mut String, sides: &mut [Side<'_>]) -> std::fmt::Result {
        let (broken, what) = self.broken;
        page.push_str("<tr class=end id=end><th scope=row class=t><b>end</b></th>");
        for side in sides {
            let id = side.id;
            side.course.end();
            side.open(page, "")?;
            match id {
                'f' => write!(page, "</td><td class=\"w f\"><div><p><b>{}:</b> {}</p></div></td>", Escaped::short(broken), Escaped::short(what))?,
                _ => page.push_str("</td><td class=\"w g\"><div><p>all is done, and nothing is left over</p></div></td>"),
            }
        }
        page.push_str("</tr>");
        Ok(())
    }
}

/// Shows how much time has passed.
fn shown(passed: Duration) -> String {
    match passed.as_millis() {
        millis if millis < 1000 => format!("{millis} ms"),
        _ => format!("{}.{:03} s", passed.as_secs(), passed.subsec_millis()),
    }
}
