use std::fmt;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Fields, JsonError, Raw};

/// A JSON object, kept as text, such as `params` and `retval`. The default is `{}`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Object(Option<Raw>);

impl Object {
    /// Writes `value` as a JSON object; a unit (`struct Cleanup;`) becomes `{}`.
    ///
    /// # Errors
    ///
    /// [`JsonError::Encode`] when `value` has no JSON form or is not an object.
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Result<Self, JsonError> {
        let raw = Raw::new(value)?;
        if raw.as_str() == "null" {
            return Ok(Self::default());
        }
        let form = match raw.as_str().as_bytes().first() {
            Some(b'[') => "an array",
            Some(b'"') => "a text",
            Some(b't' | b'f') => "true or false",
            _ => "a number",
        };
        Self::from_raw(raw).ok_or_else(|| {
            let name = std::any::type_name::<T>();
            JsonError::encode(format!(
                "expected a JSON object, but a value of type {name} is {form}: put it into a struct"
            ))
        })
    }

    /// Reads the object as a `T`; `{}` is also a unit. Of two equal names in an object only the last counts.
    ///
    /// # Errors
    ///
    /// [`JsonError::Decode`] when the object is not a `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        match &self.0 {
            Some(raw) => raw.parse(),
            None => serde_json::from_str("{}").or_else(|error| {
                serde_json::from_str("null").map_err(|_| JsonError::decode(error))
            }),
        }
    }

    /// Returns the object without the fields that later ones of the same names replace, at any depth.
    pub(crate) fn without_repeats(&self) -> Self {
        let last = self.0.as_ref().and_then(Raw::without_repeats);
        last.map_or_else(|| self.clone(), |last| Self(Some(last)))
    }

    /// Returns the JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or("{}", Raw::as_str)
    }

    /// Says whether the object has no fields.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the fields in the order in which they were written.
    #[must_use]
    pub fn fields(&self) -> Fields {
        Fields::of_scanned(self.as_str())
    }

    /// Returns the fields of both; where both have one, that of `other` wins.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        match (&self.0, &other.0) {
            (_, None) => self.clone(),
            (None, _) => other.clone(),
            _ => {
                let mut fields = self.fields();
                fields.extend(other.fields());
                Self(Some(Raw::of_scanned(&fields.to_json())))
            }
        }
    }

    /// Returns the JSON text without the white space that means nothing.
    #[must_use]
    pub fn compact(&self) -> String {
        let mut out = String::with_capacity(self.as_str().len());
        let (mut within, mut escaped, mut from) = (false, false, 0);
        for (at, byte) in self.as_str().bytes().enumerate() {
            match byte {
                b'"' if !escaped => within = !within,
                b' ' | b'\n' | b'\r' | b'\t' if !within => {
                    out.push_str(&self.as_str()[from..at]);
                    from = at + 1;
                }
                _ => {}
            }
            escaped = within && byte == b'\\' && !escaped;
        }
        out.push_str(&self.as_str()[from..]);
        out
    }

    /// Takes text that a scanner has found to be an object.
    pub(crate) fn of_scanned(text: &str) -> Self {
        Self((!has_no_fields(text)).then(|| Raw::of_scanned(text)))
    }

    fn from_raw(raw: Raw) -> Option<Self> {
        let empty = has_no_fields(raw.as_str());
        let is_object = raw.as_str().starts_with('{');
        is_object.then(|| Self((!empty).then_some(raw)))
    }
}

/// Says whether the text of an object is `{}`, with or without white space.
fn has_no_fields(object: &str) -> bool {
    let inner = object.get(1..).unwrap_or_default();
    inner.trim_start_matches([' ', '\n', '\r', '\t']) == "}"
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(raw) => raw.serialize(serializer),
            None => serializer.collect_map(std::iter::empty::<((), ())>()),
        }
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Raw::deserialize(deserializer)?;
        Self::from_raw(raw).ok_or_else(|| D::Error::custom("expected a JSON object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn merge_is_shallow_and_the_second_wins() {
        let merged = object(r#"{"a":{"x":1},"b":2.50}"#).merge(&object(r#"{"a":{"y":1}}"#));
        assert_eq!(merged.as_str(), r#"{"a":{"y":1},"b":2.50}"#);
    }

    #[test]
    fn a_unit_is_an_empty_object() {
        assert_eq!(Object::new(&()).unwrap(), Object::default());
        assert!(Object::default().parse::<()>().is_ok());
        assert!(Object::new(&5).is_err());
    }

    #[test]
    fn a_value_that_is_no_object_is_named() {
        let said = |error: JsonError| crate::cause::report(&error);
        let array = said(Object::new(&vec![1]).unwrap_err());
        assert!(
            array.contains("type alloc::vec::Vec<i32> is an array"),
            "{array}"
        );
        let tuple = said(Object::new(&(1, "a")).unwrap_err());
        assert!(tuple.contains("is an array"), "{tuple}");
        let text = said(Object::new("a").unwrap_err());
        assert!(text.contains("type str is a text"), "{text}");
        let number = said(Object::new(&-5).unwrap_err());
        assert!(number.contains("type i32 is a number"), "{number}");
        let truth = said(Object::new(&true).unwrap_err());
        assert!(truth.contains("type bool is true or false"), "{truth}");
    }

    #[test]
    fn white_space_is_no_content() {
        assert!(object("{ }").is_empty());
    }

    #[test]
    fn white_space_within_strings_means_something() {
        let text = object("{ \"a b\" : \"c \\\" d\\\\\" , \"e\" : [ 1 , 2 ] }");
        assert_eq!(text.compact(), r#"{"a b":"c \" d\\","e":[1,2]}"#);
    }
}
