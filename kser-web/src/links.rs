use kser::backend::RecordPlace;
use kser::run::RunId;
use kser_ops::LetterAddress;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::params::Params;

/// The characters of a part of a path that stand for themselves.
const PART: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Makes the links of the pages, which begin with the path prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Links {
    /// The prefix: empty, or a path that begins with a slash and does not end with one.
    prefix: String,
}

impl Links {
    pub(crate) const fn new(prefix: String) -> Self {
        Self { prefix }
    }

    /// Returns the address of the overview. Behind a prefix it has no slash at its end: that is the one at which a router is nested.
    pub(crate) fn root(&self) -> String {
        match self.prefix.is_empty() {
            true => "/".to_owned(),
            false => self.prefix.clone(),
        }
    }

    /// Returns the address of a path of the router.
    pub(crate) fn to(&self, path: &str) -> String {
        match path {
            "/" => self.root(),
            _ => format!("{}{path}", self.prefix),
        }
    }

    pub(crate) fn run(&self, id: &RunId) -> String {
        self.to(&format!("/runs/{}", part(id.as_str())))
    }

    /// Returns the address of an act on a run.
    pub(crate) fn act(&self, id: &RunId, act: &str) -> String {
        format!("{}/{act}", self.run(id))
    }

    /// Returns the address of a run, with a query.
    pub(crate) fn run_with(&self, id: &RunId, query: &[(&str, &str)]) -> String {
        with(&self.run(id), query)
    }

    pub(crate) fn runs(&self, query: &[(&str, &str)]) -> String {
        self.with("/runs", query)
    }

    pub(crate) fn letters(&self, query: &[(&str, &str)]) -> String {
        self.with("/letters", query)
    }

    /// Returns the address of one dead letter.
    pub(crate) fn letter(&self, address: &LetterAddress) -> String {
        let RecordPlace { partition, offset } = address.place();
        let topic = part(address.topic().as_str());
        self.to(&format!("/letters/at/{topic}/{partition}/{offset}"))
    }

    /// Returns the address of an act on a consumer.
    pub(crate) fn consumer(&self, id: &str, act: &str) -> String {
        self.to(&format!("/consumers/{}/{act}", part(id)))
    }

    /// Returns the address of a path of the router, with a query.
    pub(crate) fn with(&self, path: &str, query: &[(&str, &str)]) -> String {
        with(&self.to(path), query)
    }
}

/// Writes a text as one part of a path.
pub(crate) fn part(text: &str) -> String {
    utf8_percent_encode(text, PART).to_string()
}

/// Adds a query to a path.
fn with(path: &str, query: &[(&str, &str)]) -> String {
    let params = query
        .iter()
        .fold(Params::default(), |params, (name, value)| {
            params.with(name, Some(value))
        });
    params.after(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_one_part_of_a_path() {
        let links = Links::new("/ops/kser".to_owned());
        let check = |id: &str, expected: &str| assert_eq!(links.run(&id.into()), expected);
        check("order-7", "/ops/kser/runs/order-7");
        check("a/b?c#d", "/ops/kser/runs/a%2Fb%3Fc%23d");
        check("\"><script>", "/ops/kser/runs/%22%3E%3Cscript%3E");
        check("\u{fc}", "/ops/kser/runs/%C3%BC");
    }

    #[test]
    fn links_begin_with_the_prefix() {
        let links = Links::new("/ops".to_owned());
        assert_eq!(
            (links.root().as_str(), links.to("/").as_str()),
            ("/ops", "/ops")
        );
        assert_eq!(
            links.runs(&[("status", "failed")]),
            "/ops/runs?status=failed"
        );
        assert_eq!(Links::default().root(), "/");
    }
}
