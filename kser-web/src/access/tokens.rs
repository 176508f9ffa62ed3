use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use subtle::ConstantTimeEq;

use super::AccessError;

/// The shortest secret that a program may choose.
const SHORTEST: usize = 16;

/// The most browsers that are let in at the same time. The one that came first is forgotten.
const SESSIONS: usize = 256;

/// The random bytes of a secret.
const BYTES: usize = 16;

/// Returns a random text of hexadecimal digits.
pub(crate) fn random() -> Result<String, AccessError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| AccessError::Random {
        reason: error.to_string(),
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Compares two secrets in a time that does not depend on their content.
fn is_equal(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// Tells a new token to the person at the terminal.
type Announce = Box<dyn Fn(&str) + Send + Sync>;

/// The tokens that let browsers in, and the browsers that were let in.
pub(crate) struct Tokens {
    actor: String,
    /// The name of the cookie. It differs from those of other servers of this host, whose cookies a browser sends, too.
    cookie: String,
    kind: Kind,
    state: Mutex<State>,
}

enum Kind {
    /// A token of the program, which is valid as long as the server runs.
    Chosen(String),
    /// Random tokens, each of which lets one browser in.
    OneTime(Announce),
}

#[derive(Default)]
struct State {
    /// The one-time token that was announced and is not used.
    open: Option<String>,
    /// The secrets of the cookies, the oldest first.
    sessions: Vec<String>,
}

impl Tokens {
    pub(crate) fn chosen(actor: String, secret: String) -> Result<Self, AccessError> {
        let length = secret.chars().count();
        match length >= SHORTEST {
            true => Self::new(actor, Kind::Chosen(secret)),
            false => Err(AccessError::Short {
                length,
                least: SHORTEST,
            }),
        }
    }

    pub(crate) fn one_time(actor: String, announce: Announce) -> Result<Self, AccessError> {
        let tokens = Self::new(actor, Kind::OneTime(announce))?;
        tokens.knock()?;
        Ok(tokens)
    }

    fn new(actor: String, kind: Kind) -> Result<Self, AccessError> {
        let mut cookie = random()?;
        cookie.truncate(8);
        Ok(Self {
            actor,
            cookie: format!("kser_{cookie}"),
            kind,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the lists whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) const fn are_one_time(&self) -> bool {
        matches!(self.kind, Kind::OneTime(_))
    }

    pub(crate) fn actor(&self) -> &str {
        &self.actor
    }

    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Exchanges a token for the secret of a cookie. A one-time token is used up.
    pub(crate) fn enter(&self, token: &str) -> Result<Option<String>, AccessError> {
        let secret = random()?;
        let mut state = self.state();
        let is_valid = match &self.kind {
            Kind::Chosen(chosen) => is_equal(chosen, token),
            Kind::OneTime(_) => state.open.take_if(|open| is_equal(open, token)).is_some(),
        };
        if !is_valid {
            return Ok(None);
        }
        if state.sessions.len() >= SESSIONS {
            state.sessions.remove(0);
        }
        state.sessions.push(secret.clone());
        Ok(Some(secret))
    }

    /// Says whether the secret of a cookie was given to a browser.
    pub(crate) fn knows(&self, secret: &str) -> bool {
        let state = self.state();
        let known = state.sessions.iter().map(|known| is_equal(known, secret));
        known.fold(false, |any, known| any | known)
    }

    /// Says whether a program may use this token in place of a cookie.
    pub(crate) fn is_chosen(&self, token: &str) -> bool {
        matches!(&self.kind, Kind::Chosen(chosen) if is_equal(chosen, token))
    }

    /// Announces another one-time token, unless one is open: the token before was used, and a browser without a cookie is there.
    pub(crate) fn knock(&self) -> Result<(), AccessError> {
        let Kind::OneTime(announce) = &self.kind else {
            return Ok(());
        };
        let token = random()?;
        let is_new = {
            let mut state = self.state();
            let is_new = state.open.is_none();
            state.open.get_or_insert_with(|| token.clone());
            is_new
        };
        if is_new {
            announce(&token);
        }
        Ok(())
    }
}

/// Shows no secret.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn one_time() -> (Tokens, Arc<Mutex<Vec<String>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&told);
        let announce = Box::new(move |token: &str| to.lock().unwrap().push(token.to_owned()));
        (
            Tokens::one_time("oncall".to_owned(), announce).unwrap(),
            told,
        )
    }

    #[test]
    fn a_one_time_token_lets_one_browser_in() {
        let (tokens, told) = one_time();
        let token = told.lock().unwrap()[0].clone();
        assert_eq!(token.len(), 2 * BYTES);
        assert_eq!(tokens.enter("").unwrap(), None);
        assert_eq!(tokens.enter("0".repeat(32).as_str()).unwrap(), None);
        let secret = tokens.enter(&token).unwrap().expect("a session");
        assert!(tokens.knows(&secret) && !tokens.knows("") && !tokens.knows(&token));
        assert_eq!(tokens.enter(&token).unwrap(), None, "it is used up");
        assert!(!tokens.is_chosen(&token), "no program acts by it");
    }

    #[test]
    fn one_token_is_open_at_most() {
        let (tokens, told) = one_time();
        tokens.knock().unwrap();
        assert_eq!(told.lock().unwrap().len(), 1);
        let token = told.lock().unwrap()[0].clone();
        tokens.enter(&token).unwrap().expect("a session");
        tokens.knock().unwrap();
        tokens.knock().unwrap();
        let told = told.lock().unwrap().clone();
        assert_eq!(told.len(), 2);
        assert!(tokens.enter(&told[1]).unwrap().is_some());
    }

    #[test]
    fn a_chosen_token_stays_valid_and_is_long() {
        let tokens = |secret: &str| Tokens::chosen("ci".to_owned(), secret.to_owned());
        assert!(
            tokens("hunter2")
                .unwrap_err()
                .to_string()
                .contains("7 characters")
        );
        let tokens = tokens("0123456789abcdef").unwrap();
        for _ in 0..2 {
            assert!(tokens.enter("0123456789abcdef").unwrap().is_some());
        }
        assert!(tokens.is_chosen("0123456789abcdef") && !tokens.is_chosen("0123456789abcde"));
        assert!(!format!("{tokens:?}").contains("0123456789"));
    }

    #[test]
    fn the_oldest_of_many_browsers_is_forgotten() {
        let tokens = Tokens::chosen("ci".to_owned(), "0123456789abcdef".to_owned()).unwrap();
        let enter = || tokens.enter("0123456789abcdef").unwrap().unwrap();
        let first = enter();
        let others: Vec<_> = (0..SESSIONS).map(|_| enter()).collect();
        assert!(!tokens.knows(&first) && others.iter().all(|secret| tokens.knows(secret)));
    }
}
