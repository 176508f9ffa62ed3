use serde::de::DeserializeOwned;

use super::Raw;
use super::members::Members;
use super::scan::Scanner;
use super::text::Text;

/// Names and raw values, in order. A name occurs once: of two in one text, the last wins, in the place of the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(Text, Raw)>);

impl Fields {
    /// Returns the value called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Raw> {
        let mut fields = self.0.iter();
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
        let at = self.0.iter().position(|(key, _)| key.as_str() == name)?;
        Some(self.0.remove(at).1)
    }

    /// Goes through names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Raw)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Says whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn insert(&mut self, name: Text, value: Raw) {
        match self.0.iter_mut().find(|(key, _)| *key == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    pub(super) fn extend(&mut self, later: Self) {
        for (name, value) in later.0 {
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
    pub(crate) fn write(&self, out: &mut Vec<u8>, mut first: bool) {
        for (name, value) in &self.0 {
            if !first {
                out.push(b',');
            }
            first = false;
            name.write(out);
            out.push(b':');
            out.extend_from_slice(value.as_str().as_bytes());
        }
    }

    pub(super) fn to_json(&self) -> String {
        let mut out = vec![b'{'];
        self.write(&mut out, true);
        out.push(b'}');
        // Names and values are text, and so is what stands between them.
        String::from_utf8_lossy(&out).into_owned()
    }
}
