use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;

use super::Raw;
use super::members::Members;
use super::scan::Scanner;
use super::text::Text;

/// Names and raw values, in order. A name occurs once: of two in one text, the last wins, in the place of the first.
#[derive(Clone, Default)]
pub struct Fields {
    list: Vec<(Text, Raw)>,
    /// Where each name stands in a list that is long, so that reading one takes no square of its length.
    places: BTreeMap<Text, usize>,
}

/// Up to here a look at each name is faster than a map.
const SHORT: usize = 32;

impl Fields {
    /// Returns the value called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Raw> {
        let mut fields = self.list.iter();
        fields.find(|(key, _)| key.as_str() == name).map(|(_, v)| v)
    }

    /// Reads the value called `name` as a `T`; `None` when it is absent or something else.
    #[must_use]
    pub fn get_as<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    /// Sets the value called `name`; a new one goes last.
    pub fn set(&mut self, name: &str, value: Raw) {
        self.insert(Text::new(name), value);
    }

    /// Removes the value called `name` and returns it.
    pub fn remove(&mut self, name: &str) -> Option<Raw> {
        let at = self.list.iter().position(|(key, _)| key.as_str() == name)?;
        self.places.clear();
        Some(self.list.remove(at).1)
    }

    /// Goes through names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Raw)> {
        self.list.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Says whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn insert(&mut self, name: Text, value: Raw) {
        match self.place(&name) {
            Some(place) => self.list[place].1 = value,
            None => {
                if !self.places.is_empty() {
                    self.places.insert(name.clone(), self.list.len());
                }
                self.list.push((name, value));
            }
        }
    }

    /// Puts a name that is not there yet in front of the one at `place`.
    pub(crate) fn insert_at(&mut self, place: usize, name: Text, value: Raw) {
        self.places.clear();
        self.list.insert(place, (name, value));
    }

    pub(crate) const fn len(&self) -> usize {
        self.list.len()
    }

    fn place(&mut self, name: &Text) -> Option<usize> {
        if self.list.len() <= SHORT {
            return self.list.iter().position(|(key, _)| key == name);
        }
        if self.places.is_empty() {
            let names = self.list.iter().map(|(name, _)| name.clone());
            self.places = names.zip(0..).collect();
        }
        self.places.get(name).copied()
    }

    pub(crate) fn extend(&mut self, later: Self) {
        for (name, value) in later.list {
            self.insert(name, value);
        }
    }

    /// Takes text that a scanner has found to be an object.
    pub(crate) fn of_scanned(text: &str) -> Self {
        let mut fields = Self::default();
        let Ok(mut members) = Members::of(Scanner::new(text)) else {
            return fields;
        };
        while let Ok(Some((key, _, value))) = members.next() {
            fields.insert(Text::of_token(key), Raw::of_scanned(value));
        }
        fields
    }

    /// Writes the fields with a comma before each but the first, where `first` says whether one was written before.
    pub(crate) fn write(&self, out: &mut String, mut first: bool) {
        for (name, value) in &self.list {
            if !first {
                out.push(',');
            }
            first = false;
            name.write(out);
            out.push(':');
            out.push_str(value.as_str());
        }
    }

    pub(crate) fn to_json(&self) -> String {
        let mut out = String::from('{');
        self.write(&mut out, true);
        out.push('}');
        out
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl Eq for Fields {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_keeps_order_and_the_last_value_of_a_name() {
        let members: Vec<_> = (0..100).map(|n| format!("\"k{}\":{n}", n % 50)).collect();
        let mut fields = Fields::of_scanned(&format!("{{{}}}", members.join(",")));
        let expected: Vec<_> = (50..100)
            .map(|n| (format!("k{}", n - 50), n.to_string()))
            .collect();
        let seen = |fields: &Fields| -> Vec<_> {
            let pairs = fields
                .iter()
                .map(|(name, value)| (name.to_owned(), value.as_str().to_owned()));
            pairs.collect()
        };
        assert_eq!(seen(&fields), expected);
        fields.remove("k0");
        fields.set("k7", Raw::of_scanned("7"));
        fields.set("k0", Raw::of_scanned("0"));
        let seen = seen(&fields);
        assert_eq!((seen.len(), &*seen[6].1, &*seen[49].0), (50, "7", "k0"));
    }
}
