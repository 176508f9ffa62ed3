use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslVerifyMode};
use postgres_openssl::MakeTlsConnector;

use super::{Tls, Verify};

/// Makes the connector of these settings. Files are read anew for each connection, so that a renewed certificate is used.
///
/// # Errors
///
/// The option whose file cannot be used, and the reason.
pub(crate) fn connector(tls: &Tls) -> Result<MakeTlsConnector, String> {
    let refused =
        |what: String| move |error: openssl::error::ErrorStack| format!("{what}: {error}");
    let builder = SslConnector::builder(SslMethod::tls_client());
    let mut builder = builder.map_err(refused("TLS".to_owned()))?;
    if let Some(root) = &tls.root {
        let what = format!("`sslrootcert` {}", root.display());
        builder.set_ca_file(root).map_err(refused(what))?;
    }
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        let what = format!("`sslcert` {}", cert.display());
        builder
            .set_certificate_chain_file(cert)
            .map_err(refused(what))?;
        let what = format!("`sslkey` {}", key.display());
        builder
            .set_private_key_file(key, SslFiletype::PEM)
            .map_err(refused(what.clone()))?;
        builder.check_private_key().map_err(refused(what))?;
    }
    // As `libpq` does, a root that is named is asked also where only encryption is required.
    let verify = match (tls.verify, &tls.root) {
        (Verify::Nothing, None) => Verify::Nothing,
        (Verify::Nothing, Some(_)) => Verify::Signed,
        (verify, _) => verify,
    };
    if verify == Verify::Nothing {
        builder.set_verify(SslVerifyMode::NONE);
    }
    let mut connector = MakeTlsConnector::new(builder.build());
    connector.set_callback(move |connection, _| {
        connection.set_verify_hostname(verify == Verify::Host);
        Ok(())
    });
    Ok(connector)
}
