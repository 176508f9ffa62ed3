use std::path::PathBuf;
use std::process::Command;

use crate::installation::succeed;

const USER: &str = "kser";
const PASSWORD: &str = "secret";

/// The user, as an argument of Kafka's formatting tool.
pub(crate) const SCRAM: [&str; 2] = [
    "SCRAM-SHA-256=[name=kser,password=secret]",
    "SCRAM-SHA-512=[name=kser,password=secret]",
];

/// The settings for the certificate of an authority and that of a broker, in PEM.
const CERTIFICATES: &str = r#"
set -e
cd "$0"
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj /CN=test-services
openssl req -newkey rsa:2048 -nodes -keyout broker.key -out broker.csr -subj /CN=localhost
echo subjectAltName=DNS:localhost,IP:127.0.0.1 >names
openssl x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile names -out broker.pem
openssl pkcs8 -topk8 -nocrypt -in broker.key -out broker.p8
cat broker.p8 broker.pem ca.pem >keystore.pem
"#;

/// The address and the credentials of a listener with TLS and SASL (SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN).
#[derive(Debug, Clone)]
pub struct Access {
    /// The addresses of all brokers: `host:port`, separated by commas.
    pub bootstrap: String,
    /// The file of the certificate authority of the brokers, in PEM.
    pub ca: PathBuf,
    /// The user, for all mechanisms.
    pub user: &'static str,
    /// The password of the user.
    pub password: &'static str,
}

/// The files of secure listeners.
#[derive(Debug)]
pub(crate) struct Secure {
    folder: PathBuf,
}

impl Secure {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Creates the certificates.
    pub(crate) fn make(&self) -> Result<(), String> {
        succeed(
            Command::new("sh")
                .args(["-c", CERTIFICATES])
                .arg(&self.folder),
        )
        .map(drop)
    }

    /// Returns the initial data folder of a broker, which contains the user.
    pub(crate) fn template(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn access(&self, bootstrap: String) -> Access {
        Access {
            bootstrap,
            ca: self.folder.join("ca.pem"),
            user: USER,
            password: PASSWORD,
        }
    }

    /// Returns the server properties of the listener.
    pub(crate) fn properties(&self) -> String {
        let keystore = self.folder.join("keystore.pem");
        let module = "org.apache.kafka.common.security";
        let listener = "listener.name.sasl_ssl";
        format!(
            "sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN\n\
             ssl.keystore.type=PEM\n\
             ssl.keystore.location={}\n\
             {listener}.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
             {listener}.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
             {listener}.plain.sasl.jaas.config={module}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";\n",
            keystore.display()
        )
    }
}
