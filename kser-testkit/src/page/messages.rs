use std::collections::BTreeMap;
use std::fmt::Write;

use super::escape::Escaped;
use crate::sim::{Act, Event};

/// The largest number of messages and runs that have a button.
const MOST: usize = 60;
/// The number of colours, of which each message has one.
const COLOURS: usize = 8;

/// The messages of both runs. A message is named by its label, such as `Checkout#1/1.Charge`, and belongs to a run,
/// `Checkout#1`.
#[derive(Debug, Default)]
pub(super) struct Messages {
    numbers: BTreeMap<String, usize>,
    names: Vec<(String, usize)>,
    roots: Vec<String>,
}

/// A message of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message<'m> {
    pub(super) label: &'m str,
    /// The number of the message; `None` for the run itself.
    pub(super) number: Option<usize>,
    /// The number of its run.
    pub(super) root: usize,
}

impl Message<'_> {
    /// Returns the class of its colour.
    pub(super) fn colour(&self) -> String {
        colour(self.number)
    }

    /// Returns the id of its button, if it has one.
    pub(super) fn button(&self) -> Option<String> {
        match self.number {
            Some(number) => (number < MOST && self.root < MOST).then(|| format!("m{number}")),
            None => (self.root < MOST).then(|| format!("r{}", self.root)),
        }
    }

    /// Returns the classes by which the buttons find it.
    pub(super) fn classes(&self) -> String {
        match self.number {
            Some(number) => format!(" e r{} m{number}", self.root),
            None => format!(" e r{}", self.root),
        }
    }
}

/// Returns the class of the colour of a message, or of a run.
fn colour(message: Option<usize>) -> String {
    message.map_or_else(|| "n".to_owned(), |number| format!("h{}", number % COLOURS))
}

impl Messages {
    /// Collects the messages of events.
    pub(super) fn of<'e>(events: impl Iterator<Item = &'e Event>) -> Self {
        let mut messages = Self::default();
        for label in events.filter_map(Self::named) {
            if messages.numbers.contains_key(label) {
                continue;
            }
            let root = label.split('/').next().unwrap_or(label);
            let known = messages.roots.iter().position(|known| known == root);
            let root = known.unwrap_or_else(|| {
                messages.roots.push(root.to_owned());
                messages.roots.len() - 1
            });
            let number = messages.names.len();
            messages.numbers.insert(label.to_owned(), number);
            messages.names.push((label.to_owned(), root));
        }
        messages
    }

    /// Returns the label of the message that an event names itself.
    fn named(event: &Event) -> Option<&str> {
        let about = event.mark.about.as_deref()?;
        match event.mark.act {
            // The path of a call, which may be one of a consumer.
            Act::Fault(..) | Act::Refuse(_) | Act::Write { .. } => None,
            _ => Some(about),
        }
    }

    /// Returns the message of an event. A call is about the message or the run in its path, if there is one.
    pub(super) fn message(&self, event: &Event) -> Option<Message<'_>> {
        let about = event.mark.about.as_deref()?;
        let label = match Self::named(event) {
            Some(label) => label,
            None => about.rsplit_once('/').map_or(about, |(path, _)| path),
        };
        if let Some((label, number)) = self.numbers.get_key_value(label) {
            let (_, root) = self.names.get(*number)?;
            return Some(Message {
                label,
                number: Some(*number),
                root: *root,
            });
        }
        let root = self.roots.iter().position(|root| root == label)?;
        Some(Message {
            label: self.roots.get(root)?,
            number: None,
            root,
        })
    }

    /// Writes the rules that show the messages of a chosen button, and hide the others.
    pub(super) fn rules(&self, page: &mut String) -> std::fmt::Result {
        let roots = (0..self.roots.len()).map(|root| format!("r{root}"));
        let names = (0..self.names.len()).map(|name| format!("m{name}"));
        for id in roots.take(MOST).chain(names.take(MOST)) {
            write!(
                page,
                ":root:has(#{id}:checked) .e:not(.{id}){{opacity:.13}}"
            )?;
            write!(
                page,
                ":root:has(#{id}:checked) label[for={id}]{{outline:2px solid}}"
            )?;
        }
        Ok(())
    }

    /// Writes the buttons, of which one is chosen.
    pub(super) fn buttons(&self, page: &mut String) -> std::fmt::Result {
        page.push_str(
            "<fieldset><legend>Follow</legend><label class=chip><input type=radio name=follow id=all checked>everything</label>",
        );
        for (root, name) in self.roots.iter().enumerate().take(MOST) {
            let shown = Escaped::short(name);
            write!(
                page,
                "<span class=run><label class=\"chip root\"><input type=radio name=follow id=r{root}>{shown}</label>"
            )?;
            let messages = self.names.iter().enumerate().take(MOST);
            for (number, (label, _)) in messages.filter(|(_, (_, of))| *of == root) {
                let rest = label.strip_prefix(name.as_str()).unwrap_or(label);
                let rest = rest.strip_prefix('/').unwrap_or("task");
                let (rest, colour) = (Escaped::short(rest), colour(Some(number)));
                write!(
                    page,
                    "<label class=\"chip {colour}\"><input type=radio name=follow id=m{number}>{rest}</label>"
                )?;
            }
            page.push_str("</span>");
        }
        let left = self.names.len().saturating_sub(MOST);
        if left > 0 {
            write!(
                page,
                "<p class=note>{left} messages more have no button: follow them by ↑ and ↓.</p>"
            )?;
        }
        page.push_str("</fieldset>");
        Ok(())
    }
}
