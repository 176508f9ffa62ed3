//! The encryption of connections, as `libpq` has it: `sslmode` and the certificates beside it.

use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

#[cfg(feature = "postgres-tls")]
mod connector;

#[cfg(feature = "postgres-tls")]
pub(super) use self::connector::connector;

/// The certificates of a connection, and the checks of the server's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tls {
    /// Whether the certificate of the server has to be signed by a root.
    verify: Verify,
    /// The file with the roots; those of the system without one.
    root: Option<PathBuf>,
    /// The file with the certificate of the client, and that with its key.
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Verify {
    /// The connection is encrypted, and may be to anyone.
    #[default]
    Nothing,
    /// The certificate is signed by a root.
    Signed,
    /// It also names the host.
    Host,
}

impl Tls {
    /// Takes an option of a URL. Returns `false` for one that is not of TLS.
    ///
    /// # Errors
    ///
    /// The reason why a value is refused.
    pub(super) fn take(
        &mut self,
        client: &mut Config,
        name: &str,
        value: &str,
    ) -> Result<bool, String> {
        match name {
            "sslmode" => self.set_mode(client, value)?,
            "sslrootcert" => self.root = Some(value.into()),
            "sslcert" => self.cert = Some(value.into()),
            "sslkey" => self.key = Some(value.into()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set_mode(&mut self, client: &mut Config, mode: &str) -> Result<(), String> {
        let (mode, verify) = match mode {
            "disable" => (SslMode::Disable, Verify::Nothing),
            "prefer" => (SslMode::Prefer, Verify::Nothing),
            "require" => (SslMode::Require, Verify::Nothing),
            "verify-ca" => (SslMode::Require, Verify::Signed),
            "verify-full" => (SslMode::Require, Verify::Host),
            _ => {
                return Err(format!(
                    "there is no `sslmode={mode}`: it is `disable`, `prefer`, `require`, `verify-ca` or `verify-full`"
                ));
            }
        };
        client.ssl_mode(mode);
        self.verify = verify;
        Ok(())
    }

    /// Returns why these settings cannot be used: the certificate of a client without its key, and others without the cargo feature.
    pub(super) fn refusal(&self, client: &Config) -> Option<&'static str> {
        if self.cert.is_some() != self.key.is_some() {
            return Some("`sslcert` and `sslkey` go together");
        }
        let is_used = *self != Self::default() || client.get_ssl_mode() == SslMode::Require;
        match is_used && !cfg!(feature = "postgres-tls") {
            true => Some("TLS needs the cargo feature `postgres-tls`"),
            false => None,
        }
    }
}
