use std::convert::Infallible;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use kser_ops::OpsError;

/// The query of an address, or the fields of a form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// Reads a query, or the body of a form.
    pub(crate) fn of(text: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(text.unwrap_or_default().as_bytes());
        Self {
            pairs: pairs.into_owned().collect(),
        }
    }

    /// Returns the first value of a name that is not empty: forms send the fields that are left empty, too.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut named = self.pairs.iter().filter(|(of, _)| of == name);
        let value = named.find(|(_, value)| !value.trim().is_empty())?;
        Some(value.1.as_str())
    }

    /// Returns all values of a name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.pairs.iter().filter(move |(of, _)| of == name);
        named.map(|(_, value)| value.as_str())
    }

    /// Reads the value of a name.
    ///
    /// # Errors
    ///
    /// [`OpsError::Invalid`] for a text that is no such value.
    pub(crate) fn read<T: FromStr<Err: ToString>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, OpsError> {
        let value = self.get(name).map(|text| (text, text.trim().parse()));
        match value {
            None => Ok(None),
            Some((_, Ok(value))) => Ok(Some(value)),
            Some((text, Err(error))) => Err(OpsError::Invalid {
                what: format!("{name}={text:?}"),
                reason: error.to_string(),
            }),
        }
    }

    /// Sets a name to one value, or removes it.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: Option<&str>) -> Self {
        self.pairs.retain(|(of, _)| of != name);
        let pair = value.map(|value| (name.to_owned(), value.to_owned()));
        self.pairs.extend(pair);
        self
    }

    /// Removes a name.
    #[must_use]
    pub(crate) fn without(self, name: &str) -> Self {
        self.with(name, None)
    }

    /// Writes the query behind a path. Empty values are left out.
    pub(crate) fn after(&self, path: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let set = self.pairs.iter().filter(|(_, value)| !value.is_empty());
        query.extend_pairs(set);
        match query.finish() {
            query if query.is_empty() => path.to_owned(),
            query => format!("{path}?{query}"),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts.uri.query()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fields_of_a_form_are_none() {
        let params = Params::of(Some("status=&op=a%20b&op=&since=+"));
        assert_eq!(params.get("status"), None);
        assert_eq!(params.get("since"), None);
        assert_eq!(params.get("op"), Some("a b"));
    }

    #[test]
    fn a_query_comes_back_with_its_special_characters() {
        let params = Params::of(None)
            .with("q", Some("a&b=\"<\u{e4}>"))
            .with("n", Some(""));
        let text = params.after("/runs");
        assert_eq!(text, "/runs?q=a%26b%3D%22%3C%C3%A4%3E");
        let again = Params::of(text.split_once('?').map(|(_, query)| query));
        assert_eq!(again.get("q"), Some("a&b=\"<\u{e4}>"));
        assert_eq!(again.without("q").after("/runs"), "/runs");
    }

    #[test]
    fn a_value_of_another_kind_is_named() {
        let params = Params::of(Some("n=many"));
        let error = params.read::<u32>("n").unwrap_err().to_string();
        assert!(error.contains("n=\"many\""), "{error}");
        assert_eq!(params.read::<u32>("step").unwrap(), None);
    }
}
