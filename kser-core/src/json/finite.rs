use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::{JsonError, depth};

/// The deepest nesting of a value that is written. A reader finds it a few levels deep in a message.
const DEEPEST: usize = depth::MAX_DEPTH - 10;

/// The bytes that are set aside for a value, so that the usual params are written without a second allocation.
const USUAL: usize = 512;

/// Writes a value as JSON, and refuses NaN and the infinities, which `serde_json` writes as null. The error names the field.
pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, JsonError> {
    let mut out = Vec::with_capacity(USUAL);
    let mut writer = serde_json::Serializer::new(&mut out);
    value
        .serialize(Finite(&mut writer))
        .map_err(JsonError::encode)?;
    let text = String::from_utf8(out).map_err(JsonError::encode)?;
    match depth::is_deeper(&text, DEEPEST) {
        true => Err(JsonError::encode(format!(
            "more than {DEEPEST} levels of nesting"
        ))),
        false => Ok(text),
    }
}

/// A serializer that refuses numbers that are not finite, and passes all other values on.
struct Finite<S>(S);

/// A value whose numbers must be finite.
struct Checked<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Serialize for Checked<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Finite(serializer))
    }
}

/// Says whether a name is one of those under which `serde_json` writes raw JSON and exact numbers.
fn is_token(name: &str) -> bool {
    name.starts_with("$serde_json::private::")
}

fn not_finite<E: serde::ser::Error>(number: f64) -> E {
    E::custom(format!("{number} is no JSON value"))
}

/// Adds the place in front of the text of an error.
fn at<T, E: serde::ser::Error>(place: impl std::fmt::Display, done: Result<T, E>) -> Result<T, E> {
    done.map_err(|error| E::custom(format!("{place}: {error}")))
}

macro_rules! hand_on {
    ($($method:ident: $type:ty),* $(,)?) => {
        $(fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
            self.0.$method(value)
        })*
    };
}

impl<S: Serializer> Serializer for Finite<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Numbered<S::SerializeSeq>;
    type SerializeTuple = Numbered<S::SerializeTuple>;
    type SerializeTupleStruct = Numbered<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Numbered<S::SerializeTupleVariant>;
    type SerializeMap = Keyed<S::SerializeMap>;
    type SerializeStruct = Finite<S::SerializeStruct>;
    type SerializeStructVariant = Finite<S::SerializeStructVariant>;

    hand_on! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
        serialize_unit_struct: &'static str,
    }

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        match value.is_finite() {
            true => self.0.serialize_f32(value),
            false => Err(not_finite(value.into())),
        }
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        match value.is_finite() {
            true => self.0.serialize_f64(value),
            false => Err(not_finite(value)),
        }
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&Checked(value))
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        // Raw JSON is a newtype that must reach the writer as it is.
        match is_token(name) {
            true => self.0.serialize_newtype_struct(name, value),
            false => self.0.serialize_newtype_struct(name, &Checked(value)),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = Checked(value);
        let done = self
            .0
            .serialize_newtype_variant(name, index, variant, &value);
        at(variant, done)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.0.serialize_seq(len).map(Numbered::new)
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.0.serialize_tuple(len).map(Numbered::new)
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.0.serialize_tuple_struct(name, len).map(Numbered::new)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        let begun = self.0.serialize_tuple_variant(name, index, variant, len);
        begun.map(Numbered::new)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        let inner = self.0.serialize_map(len)?;
        Ok(Keyed {
            inner,
            key: String::new(),
        })
    }

    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        self.0.serialize_struct(name, len).map(Finite)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        let begun = self.0.serialize_struct_variant(name, index, variant, len);
        begun.map(Finite)
    }
}

/// Elements, counted for errors.
struct Numbered<S> {
    inner: S,
    index: usize,
}

impl<S> Numbered<S> {
    const fn new(inner: S) -> Self {
        Self { inner, index: 0 }
    }

    fn next<T, E: serde::ser::Error>(
        &mut self,
        write: impl FnOnce(&mut S) -> Result<T, E>,
    ) -> Result<T, E> {
        let index = self.index;
        self.index += 1;
        write(&mut self.inner).map_err(|error| E::custom(format!("[{index}]: {error}")))
    }
}

macro_rules! numbered {
    ($($trait:ident::$method:ident),* $(,)?) => {
        $(impl<S: $trait> $trait for Numbered<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                self.next(|inner| inner.$method(&Checked(value)))
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.inner.end()
            }
        })*
    };
}

numbered! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
}

macro_rules! named {
    ($($trait:ident),*) => {
        $(impl<S: $trait> $trait for Finite<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), S::Error> {
                // `serde_json` writes raw JSON and exact numbers through fields of its own.
                match is_token(key) {
                    true => self.0.serialize_field(key, value),
                    false => at(key, self.0.serialize_field(key, &Checked(value))),
                }
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        })*
    };
}

named!(SerializeStruct, SerializeStructVariant);

/// Entries of a map, whose keys are kept for errors.
struct Keyed<S> {
    inner: S,
    key: String,
}

impl<S: SerializeMap> SerializeMap for Keyed<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        self.key = serde_json::to_string(key).map_err(S::Error::custom)?;
        self.inner.serialize_key(&Checked(key))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        at(&self.key, self.inner.serialize_value(&Checked(value)))
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.inner.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(serde::Serialize)]
    struct Scores {
        mean: f64,
        all: Vec<f32>,
        by_name: BTreeMap<String, Option<f64>>,
    }

    fn error(value: &impl Serialize) -> String {
        let error = to_json(value).unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    }

    fn scores() -> Scores {
        Scores {
            mean: 2.5,
            all: vec![1.0],
            by_name: BTreeMap::new(),
        }
    }

    #[test]
    fn what_is_finite_is_written() {
        let text = to_json(&scores()).unwrap();
        assert_eq!(text, r#"{"mean":2.5,"all":[1.0],"by_name":{}}"#);
        let raw = super::super::Raw::from_slice(b"{\"a\":1e400}").unwrap();
        assert_eq!(to_json(&raw).unwrap(), "{\"a\":1e400}");
    }

    #[test]
    fn the_error_names_the_field() {
        let mut wrong = scores();
        wrong.mean = f64::NAN;
        assert!(error(&wrong).starts_with("mean: NaN is no JSON value"));
        let mut wrong = scores();
        wrong.all.push(f32::INFINITY);
        assert!(error(&wrong).starts_with("all: [1]: inf is no JSON value"));
        let mut wrong = scores();
        wrong.by_name.insert("zo".into(), Some(f64::NEG_INFINITY));
        assert!(error(&wrong).starts_with("by_name: \"zo\": -inf"));
    }
}
