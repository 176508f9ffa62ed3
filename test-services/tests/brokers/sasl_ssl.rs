//! The listener with TLS and SASL.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use test_services::{Access, Admin, Cluster};

/// Lists the topics as a client with this mechanism and password.
fn ask(access: &Access, mechanism: &str, module: &str, password: &str) -> Result<String, String> {
    let Access { ca, user, .. } = access;
    let properties = format!(
        "security.protocol=SASL_SSL\n\
         ssl.truststore.type=PEM\n\
         ssl.truststore.location={}\n\
         sasl.mechanism={mechanism}\n\
         sasl.jaas.config=org.apache.kafka.common.security.{module} required username=\"{user}\" password=\"{password}\";\n",
        ca.display()
    );
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("{mechanism}.{password}.properties"));
    fs::write(&file, properties).unwrap();
    let file = file.to_str().unwrap();
    Admin::new(&access.bootstrap).tool(
        "org.apache.kafka.tools.TopicCommand",
        &["--list", "--exclude-internal", "--command-config", file],
    )
}

test_services::cluster_tests!(
    #[test]
    fn a_listener_of_its_own_wants_tls_and_a_password() {
        let cluster = Cluster::builder().with_sasl_ssl().start();
        let access = cluster.access();

        let client = Command::new("openssl")
            .args([
                "s_client",
                "-verify_return_error",
                "-verify_ip",
                "127.0.0.1",
            ])
            .args(["-connect", &access.bootstrap, "-CAfile"])
            .arg(&access.ca)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(client.status.success(), "{client:?}");

        cluster.admin().create_topic("safe", 1, 1);
        let scram = "scram.ScramLoginModule";
        let plain = "plain.PlainLoginModule";
        assert_eq!(
            ask(&access, "SCRAM-SHA-256", scram, access.password).unwrap(),
            "safe\n"
        );
        assert_eq!(
            ask(&access, "SCRAM-SHA-512", scram, access.password).unwrap(),
            "safe\n"
        );
        assert_eq!(
            ask(&access, "PLAIN", plain, access.password).unwrap(),
            "safe\n"
        );
        let refused = ask(&access, "SCRAM-SHA-256", scram, "wrong").unwrap_err();
        assert!(refused.contains("Authentication failed"), "{refused}");
    }
);
