//! Every line of the log has its target, by which an operator filters.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Crates that log, and the target of each.
const CRATES: [(&str, &str); 5] = [
    ("kser", "kser"),
    ("kser-core", "kser"),
    ("kser-memory", "kser"),
    ("kser-kafka", "kser_kafka"),
    ("kser-librdkafka", "kser_kafka"),
];

const MACROS: [&str; 6] = [
    "error!(", "warn!(", "info!(", "debug!(", "trace!(", "event!(",
];

#[test]
fn every_line_of_the_log_names_its_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut found, mut without) = (0, Vec::new());
    for (name, target) in CRATES {
        let mut files = Vec::new();
        // A package without the workspace around it has its own alone.
        sources(&root.join(name).join("src"), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for call in text.split("tracing::").skip(1) {
                let Some(name) = MACROS.iter().find(|name| call.starts_with(**name)) else {
                    continue;
                };
                found += 1;
                let arguments = call[name.len()..].trim_start();
                if !arguments.starts_with(&format!("target: \"{target}\"")) {
                    let line: String = call.chars().take(80).collect();
                    without.push(format!("{}: {line}", file.display()));
                }
            }
        }
    }
    assert!(found > 10, "{found} calls are found");
    assert!(without.is_empty(), "without their target: {without:#?}");
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, files),
            false if path.extension().is_some_and(|is| is == "rs") => files.push(path),
            false => {}
        }
    }
}
