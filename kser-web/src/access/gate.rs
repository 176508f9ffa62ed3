use std::fmt;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{HeaderName, header};

use super::tokens::Tokens;
use super::{Access, AccessError};

/// The longest name of an actor, in characters.
const LONGEST: usize = 200;

/// Says whose requests are let in. Cloning is cheap.
#[derive(Clone)]
pub struct Gate {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Tokens(Arc<Tokens>),
    Header(HeaderName),
    Program(Arc<dyn Fn(&Parts) -> Access + Send + Sync>),
}

impl Gate {
    /// Lets one browser in by a random token: `announce` gets it now, for the person at the terminal, who opens the page with
    /// `?token=`. The browser gets a cookie in its place. When the token is used and a browser without a cookie comes, `announce` gets
    /// another token. `actor` is the name that is kept with the acts.
    ///
    /// # Errors
    ///
    /// [`AccessError::Random`] when the system gives no random bytes.
    pub fn one_time(
        actor: impl Into<String>,
        announce: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, AccessError> {
        let tokens = Tokens::one_time(actor.into(), Box::new(announce))?;
        Ok(Self::of(tokens))
    }

    /// Lets browsers in by a secret of the program, with `?token=`, and programs with `Authorization: Bearer`.
    ///
    /// # Errors
    ///
    /// [`AccessError::Short`] for a secret of fewer than 16 characters. [`AccessError::Random`] as above.
    pub fn token(actor: impl Into<String>, secret: impl Into<String>) -> Result<Self, AccessError> {
        Ok(Self::of(Tokens::chosen(actor.into(), secret.into())?))
    }

    /// Lets those in whom a proxy names in a header, such as `X-Forwarded-User`. Only the proxy may reach the server, and it has to
    /// remove the header from the requests that it gets.
    ///
    /// # Errors
    ///
    /// [`AccessError::Header`] for a text that is no name of a header.
    pub fn header(name: &str) -> Result<Self, AccessError> {
        let parsed = name.parse().map_err(|_| AccessError::Header {
            name: name.to_owned(),
        })?;
        Ok(Self {
            kind: Kind::Header(parsed),
        })
    }

    /// Asks the program for the rights of each request, such as by its own sessions.
    #[must_use]
    pub fn program(access: impl Fn(&Parts) -> Access + Send + Sync + 'static) -> Self {
        Self {
            kind: Kind::Program(Arc::new(access)),
        }
    }

    fn of(tokens: Tokens) -> Self {
        Self {
            kind: Kind::Tokens(Arc::new(tokens)),
        }
    }

    /// Returns the tokens, if tokens let browsers in.
    pub(crate) fn tokens(&self) -> Option<&Tokens> {
        match &self.kind {
            Kind::Tokens(tokens) => Some(tokens),
            _ => None,
        }
    }

    /// Says whether random tokens that are announced let browsers in.
    pub(crate) fn is_one_time(&self) -> bool {
        self.tokens().is_some_and(Tokens::are_one_time)
    }

    /// Returns the rights of a request.
    pub(crate) fn access(&self, request: &Parts) -> Access {
        match &self.kind {
            Kind::Tokens(tokens) => {
                let is_known = cookies(request, tokens.cookie()).any(|it| tokens.knows(it));
                match is_known || bearer(request).is_some_and(|it| tokens.is_chosen(it)) {
                    true => Access::Act(tokens.actor().to_owned()),
                    false => Access::None,
                }
            }
            Kind::Header(name) => match named(request, name) {
                Some(actor) => Access::Act(actor),
                None => Access::None,
            },
            Kind::Program(access) => access(request),
        }
    }
}

/// Returns the values of a cookie: a browser may send several of one name.
fn cookies<'a>(request: &'a Parts, name: &'a str) -> impl Iterator<Item = &'a str> {
    let headers = request.headers.get_all(header::COOKIE).into_iter();
    let pairs = headers.filter_map(|value| value.to_str().ok());
    let pairs = pairs.flat_map(|value| value.split(';'));
    pairs.filter_map(move |pair| {
        let (of, value) = pair.trim().split_once('=')?;
        (of == name).then_some(value)
    })
}

/// Returns the token of a program.
pub(crate) fn bearer(request: &Parts) -> Option<&str> {
    let value = request.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(str::trim)
}

/// Returns the name in a header of a proxy. Two headers are none: a client may have sent one of them.
fn named(request: &Parts, name: &HeaderName) -> Option<String> {
    let mut values = request.headers.get_all(name).into_iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let actor = std::str::from_utf8(value.as_bytes()).ok()?.trim();
    let is_name = !actor.is_empty() && actor.chars().count() <= LONGEST;
    let is_name = is_name && !actor.chars().any(char::is_control);
    is_name.then(|| actor.to_owned())
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Tokens(tokens) => tokens.fmt(f),
            Kind::Header(name) => write!(f, "Header({name})"),
            Kind::Program(_) => f.write_str("Program"),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn request(headers: &[(&str, &[u8])]) -> Parts {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_header_names_one_actor() {
        let gate = Gate::header("X-Forwarded-User").unwrap();
        let check = |headers: &[(&str, &[u8])], expected: Option<&str>| {
            let access = expected.map_or(Access::None, |name| Access::Act(name.to_owned()));
            assert_eq!(gate.access(&request(headers)), access, "{headers:?}");
        };
        check(&[("x-forwarded-user", b"oncall")], Some("oncall"));
        check(
            &[("x-forwarded-user", "J\u{f6}rg".as_bytes())],
            Some("J\u{f6}rg"),
        );
        check(&[], None);
        check(&[("x-forwarded-user", b" ")], None);
        check(&[("x-forwarded-user", b"a\tb")], None);
        check(&[("x-forwarded-user", b"\xff")], None);
        check(
            &[
                ("x-forwarded-user", b"oncall"),
                ("x-forwarded-user", b"root"),
            ],
            None,
        );
        check(&[("x-forwarded-user", &[b'a'; 201])], None);
        assert!(Gate::header("a b").is_err());
    }

    #[test]
    fn a_program_says_it_itself() {
        let gate = Gate::program(|request| match request.headers.contains_key("x-staff") {
            true => Access::Read("staff".to_owned()),
            false => Access::None,
        });
        let staff = request(&[("x-staff", b"1")]);
        assert_eq!(gate.access(&staff), Access::Read("staff".to_owned()));
        assert_eq!(gate.access(&request(&[])), Access::None);
    }
}
