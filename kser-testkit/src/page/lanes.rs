use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::escape::Escaped;
use crate::faults::Kind;
use crate::sim::{Act, Event};

/// The largest number of clients, consumers and services with a lane of their own; more share one.
const MOST: [usize; 3] = [4, 12, 6];

/// The lanes of a picture: clients, consumers, the broker, the store, and the external services.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) names: Vec<String>,
    pub(super) processes: BTreeMap<String, usize>,
    pub(super) services: BTreeMap<String, usize>,
    /// The lanes that several processes share.
    pub(super) shared: Vec<usize>,
    pub(super) broker: usize,
    pub(super) store: usize,
}

impl Lanes {
    /// Lists the lanes of both runs.
    pub(super) fn of<'e>(events: impl Iterator<Item = &'e Event> + Clone) -> Self {
        let processes = events.clone().map(|event| event.who.as_str());
        let processes = processes.filter(|who| *who != "world");
        let (clients, consumers): (BTreeSet<_>, BTreeSet<_>) = processes
            .map(|who| (who.len(), who))
            .partition(|(_, who)| who.starts_with("client"));
        let services = events.filter_map(|event| match &event.mark.act {
            Act::Effect(service) => Some((0, &**service)),
            _ => None,
        });
        let mut lanes = Self {
            names: Vec::new(),
            processes: BTreeMap::new(),
            services: BTreeMap::new(),
            shared: Vec::new(),
            broker: 0,
            store: 0,
        };
        let [most_clients, most_consumers, most_services] = MOST;
        let clients = lanes.add(&clients, most_clients, "clients");
        let consumers = lanes.add(&consumers, most_consumers, "more");
        lanes.processes = clients.into_iter().chain(consumers).collect();
        lanes.broker = lanes.names.len();
        lanes.store = lanes.broker + 1;
        lanes
            .names
            .extend(["broker", "store"].map(ToOwned::to_owned));
        lanes.services = lanes.add(&services.collect(), most_services, "others");
        lanes
    }

    /// Adds a lane for each of these, or for the first of them and one for all others.
    fn add(
        &mut self,
        names: &BTreeSet<(usize, &str)>,
        most: usize,
        others: &str,
    ) -> BTreeMap<String, usize> {
        let from = self.names.len();
        let own = if names.len() > most { most - 1 } else { most };
        let lanes = names.iter().enumerate();
        let lanes = lanes.map(|(at, (_, name))| ((*name).to_owned(), from + at.min(own)));
        let lanes = lanes.collect();
        let owners = names.iter().take(own).map(|(_, name)| (*name).to_owned());
        self.names.extend(owners);
        if names.len() > most {
            self.shared.push(self.names.len());
            self.names.push(others.to_owned());
        }
        lanes
    }

    /// Writes the widths of the lanes.
    pub(super) fn rules(&self, page: &mut String) -> std::fmt::Result {
        let count = self.names.len();
        let step = match count {
            0..=6 => 44,
            7..=9 => 36,
            _ => 26,
        };
        write!(page, ":root{{--lanes:{count};--wide:{step}px}}")
    }

    /// Writes the names of the lanes.
    pub(super) fn head(&self, page: &mut String) -> std::fmt::Result {
        page.push_str("<div class=names>");
        for name in &self.names {
            let name = Escaped::short(name);
            write!(page, "<span title=\"{name}\">{name}</span>")?;
        }
        page.push_str("</div>");
        Ok(())
    }

    /// Returns the middle of a lane, in percent of the width of all lanes.
    pub(super) fn x(&self, lane: usize) -> String {
        let hundredths = (2 * lane + 1) * 5000 / self.names.len();
        format!("{}.{:02}%", hundredths / 100, hundredths % 100)
    }

    /// Returns the lane that calls of a kind go to.
    pub(super) const fn of_kind(&self, kind: Kind) -> Option<usize> {
        match kind {
            Kind::Read | Kind::Write => Some(self.store),
            Kind::Effect | Kind::Await => None,
            _ => Some(self.broker),
        }
    }
}
