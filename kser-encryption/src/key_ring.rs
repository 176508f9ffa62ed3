use std::sync::Arc;

use zeroize::Zeroizing;

use crate::{Key, KeyError, KeyId};

/// Keys by their ids: the first one writes, and all of them read.
///
/// ```
/// use kser_encryption::KeyRing;
///
/// let ring = KeyRing::parse("2026-02:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n\
///                            2026-01:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=")?;
/// assert_eq!(ring.writing().as_str(), "2026-02");
/// assert_eq!(ring.ids().count(), 2);
/// # Ok::<(), kser_encryption::KeyError>(())
/// ```
#[derive(Debug, Clone)]
pub struct KeyRing {
    /// Never empty. A ring has few keys, so that a look at each is faster than a map.
    keys: Arc<[(KeyId, Key)]>,
}

/// The environment variable with the keys of a ring.
const KEYS: &str = "KSER_KEYS";

/// The environment variable with the key of kser-crypto, and its id in a ring.
const SECRETBOX_KEY: (&str, &str) = ("KSER_SECRETBOX_KEY", "secretbox");

impl KeyRing {
    /// Makes a ring of one key, which writes and reads.
    #[must_use]
    pub fn new(id: KeyId, key: Key) -> Self {
        Self {
            keys: Arc::new([(id, key)]),
        }
    }

    /// Adds a key that only reads.
    ///
    /// # Errors
    ///
    /// [`KeyError::Duplicate`] when the ring has a key of this id.
    pub fn with_reader(self, id: KeyId, key: Key) -> Result<Self, KeyError> {
        let mut keys = self.keys.to_vec();
        keys.push((id, key));
        Self::of(keys, "")
    }

    /// Reads keys of the form `id:base64`, one a line or with commas between them. The first one writes. Empty lines, and lines that
    /// begin with `#`, are left out.
    ///
    /// # Errors
    ///
    /// [`KeyError`] names the entry by its number, and no part of it.
    pub fn parse(text: impl AsRef<str>) -> Result<Self, KeyError> {
        Self::of(entries(text.as_ref())?, "the list is empty")
    }

    /// Reads the keys of the environment: those of `KSER_KEYS`, in the form that [`parse`](Self::parse) reads, and behind them that
    /// of `KSER_SECRETBOX_KEY`, under the id `secretbox`, which is the variable of kser-crypto.
    ///
    /// # Errors
    ///
    /// [`KeyError::NoKey`] when neither variable is set; otherwise as [`parse`](Self::parse).
    pub fn from_env() -> Result<Self, KeyError> {
        Self::from_variables(|name| std::env::var(name).ok().map(Zeroizing::new))
    }

    fn from_variables(value: impl Fn(&str) -> Option<Zeroizing<String>>) -> Result<Self, KeyError> {
        let mut keys = match value(KEYS) {
            Some(text) => entries(&text)?,
            None => Vec::new(),
        };
        let (variable, id) = SECRETBOX_KEY;
        if let Some(text) = value(variable) {
            keys.push((KeyId::new(id)?, Key::from_base64(text.as_bytes())?));
        }
        Self::of(keys, "neither KSER_KEYS nor KSER_SECRETBOX_KEY is set")
    }

    fn of(keys: Vec<(KeyId, Key)>, none: &str) -> Result<Self, KeyError> {
        if keys.is_empty() {
            return Err(KeyError::NoKey {
                from: none.to_owned(),
            });
        }
        for (at, (id, _)) in keys.iter().enumerate() {
            if keys[..at].iter().any(|(other, _)| other == id) {
                return Err(KeyError::Duplicate { id: id.clone() });
            }
        }
        Ok(Self { keys: keys.into() })
    }

    /// Returns the id of the key that writes.
    #[must_use]
    pub fn writing(&self) -> &KeyId {
        &self.keys[0].0
    }

    /// Returns the ids of the keys, that of the writing one first.
    pub fn ids(&self) -> impl Iterator<Item = &KeyId> {
        self.keys.iter().map(|(id, _)| id)
    }

    /// Returns the key that writes.
    pub(crate) fn writing_key(&self) -> &(KeyId, Key) {
        &self.keys[0]
    }

    /// Returns the keys, the writing one first.
    pub(crate) fn keys(&self) -> &[(KeyId, Key)] {
        &self.keys
    }

    /// Finds a key by its id.
    pub(crate) fn find(&self, id: &str) -> Option<&(KeyId, Key)> {
        self.keys.iter().find(|(known, _)| known.as_str() == id)
    }
}

/// Reads the entries of a list of keys.
fn entries(text: &str) -> Result<Vec<(KeyId, Key)>, KeyError> {
    let lines = text.lines().map(str::trim);
    let entries = lines
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|entry| !entry.is_empty());
    let read = |(index, entry): (usize, &str)| {
        let entry_number = index + 1;
        let (id, key) = entry.split_once(':').ok_or(KeyError::NotAnEntry {
            entry: entry_number,
        })?;
        let flawed = |source| KeyError::Entry {
            entry: entry_number,
            source: Box::new(source),
        };
        let id = KeyId::new(id.trim()).map_err(flawed)?;
        Ok((id, Key::from_base64(key).map_err(flawed)?))
    };
    entries.enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(byte: u8) -> String {
        data_encoding::BASE64.encode(&[byte; 32])
    }

    fn ids(ring: &KeyRing) -> Vec<&str> {
        ring.ids().map(KeyId::as_str).collect()
    }

    #[test]
    fn the_first_key_writes() {
        let lines = format!("# rotated in May\nb:{}\n\n  a : {}\r\n", text(2), text(1));
        let commas = format!("b:{},a:{}", text(2), text(1));
        for list in [lines, commas] {
            let ring = KeyRing::parse(list).unwrap();
            assert_eq!(ids(&ring), ["b", "a"]);
            assert_eq!(ring.writing().as_str(), "b");
            assert_eq!(ring.find("a").unwrap().1.bytes(), &[1; 32]);
            assert!(ring.find("c").is_none());
        }
    }

    #[test]
    fn a_faulty_list_is_refused_without_its_text() {
        let secret = text(9);
        let short = data_encoding::BASE64.encode(&[9; 31]);
        for list in [
            String::new(),
            "# none\n".to_owned(),
            secret.clone(),
            format!("a:{secret},b:{short}"),
            format!("a:{secret},a b:{secret}"),
            format!("a:{secret},a:{}", text(8)),
            format!("a:{}", secret.trim_end_matches('=')),
        ] {
            let error = KeyRing::parse(&list).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(&secret[..8]), "{shown}");
        }
    }

    #[test]
    fn the_key_of_the_python_package_reads_beside_the_others() {
        let keys = format!("a:{}", text(1));
        let variables = |with_keys: bool| {
            let keys = keys.clone();
            move |name: &str| {
                let value = match name {
                    "KSER_KEYS" => with_keys.then(|| keys.clone()),
                    "KSER_SECRETBOX_KEY" => Some(format!("{}\n", text(2))),
                    _ => None,
                };
                value.map(Zeroizing::new)
            }
        };
        assert_eq!(
            ids(&KeyRing::from_variables(variables(true)).unwrap()),
            ["a", "secretbox"]
        );
        assert_eq!(
            ids(&KeyRing::from_variables(variables(false)).unwrap()),
            ["secretbox"]
        );
        let none = KeyRing::from_variables(|_| None).unwrap_err();
        assert!(
            none.to_string()
                .contains("neither KSER_KEYS nor KSER_SECRETBOX_KEY is set")
        );
    }

    #[test]
    fn a_ring_shows_its_ids_only() {
        let ring = KeyRing::new(KeyId::new("a").unwrap(), Key::from_bytes([1; 32]));
        assert_eq!(format!("{ring:?}"), r#"KeyRing { keys: [("a", Key(..))] }"#);
    }
}
