//! Finds out whether this machine can start Kafka and PostgreSQL, compile Java and run Python, and chooses the folder for the fetched files.

use std::env::var_os;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Java version that Kafka 4 brokers need.
const JAVA: u32 = 17;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(kafka, cluster, python, javac, postgres)");
    println!("cargo::rustc-env=TEST_SERVICES_HOME={}", home().display());
    println!("cargo::rerun-if-changed=build.rs");

    let kafka = missing();
    if kafka.is_none() {
        println!("cargo::rustc-cfg=cluster");
    }
    if kafka.is_none() || var_os("KSER_TEST_KAFKA").is_some() {
        println!("cargo::rustc-cfg=kafka");
    }
    let no_kafka =
        kafka.map(|what| format!("{what}: no Kafka broker can be started for the tests"));
    let no_python = (!has_python()).then(|| {
        let what = "Python 3 with its modules venv and ensurepip is not installed";
        format!("{what}: the Python package kser cannot be fetched for the tests")
    });
    if no_python.is_none() {
        println!("cargo::rustc-cfg=python");
    }
    let no_compiler = (!has_compiler()).then(|| {
        "javac is not installed: the examples in Java cannot be compiled for the tests".to_owned()
    });
    if no_compiler.is_none() {
        println!("cargo::rustc-cfg=javac");
    }
    let postgres = postgres();
    if let Some(folder) = &postgres {
        println!("cargo::rustc-cfg=postgres");
        println!(
            "cargo::rustc-env=TEST_SERVICES_POSTGRES={}",
            folder.display()
        );
    }
    let no_postgres = postgres
        .is_none()
        .then(|| "PostgreSQL is not installed: it cannot be started for the tests".to_owned());
    let missing = [no_kafka, no_python, no_compiler, no_postgres];
    for text in missing.into_iter().flatten() {
        // A file that never exists: the next build checks again, when the tool may be installed.
        println!("cargo::rerun-if-changed=missing");
        if var_os("CI").is_some_and(|value| !value.is_empty()) {
            println!("cargo::error={text}, and CI is set, so none may be left out");
        } else {
            println!("cargo::warning={text}; those that need it are ignored");
        }
    }
}

fn has_python() -> bool {
    let mut python = Command::new("python3");
    let output = python.args(["-c", "import venv, ensurepip"]).output();
    cfg!(unix) && output.is_ok_and(|output| output.status.success())
}

fn has_compiler() -> bool {
    let output = Command::new("javac").arg("-version").output();
    output.is_ok_and(|output| output.status.success())
}

/// Returns the folder with the programs of PostgreSQL: the newest that the system's packages have installed, or that of the path.
fn postgres() -> Option<PathBuf> {
    let packages = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut packages: Vec<PathBuf> = packages
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    // `9.6` comes before `15`.
    packages.sort_by_key(|folder| {
        let version = folder.parent().and_then(Path::file_name);
        let major = version.and_then(|version| version.to_str()?.split('.').next()?.parse().ok());
        major.unwrap_or(0_u32)
    });
    let path = var_os("PATH").unwrap_or_default();
    let path = std::env::split_paths(&path).collect::<Vec<_>>();
    let has_all = |folder: &PathBuf| {
        let programs = ["initdb", "postgres", "psql"];
        programs
            .iter()
            .all(|program| folder.join(program).is_file())
    };
    let mut all = packages.into_iter().rev().chain(path);
    if cfg!(unix) { all.find(has_all) } else { None }
}

/// Returns what is missing to start Kafka.
fn missing() -> Option<String> {
    if !cfg!(unix) {
        return Some("this is no Unix".to_owned());
    }
    match java() {
        None => return Some("Java is not installed".to_owned()),
        Some(version) if version < JAVA => {
            return Some(format!("Java {version} is too old (it takes {JAVA})"));
        }
        Some(_) => {}
    }
    // Asking Maven for its version would start a second Java.
    let path = var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join("mvn").is_file());
    (!found).then(|| "Maven is not installed".to_owned())
}

/// Returns the major version of the installed Java. It prints `openjdk version "17.0.15" 2025-04-15` to standard error.
fn java() -> Option<u32> {
    let output = Command::new("java").arg("-version").output().ok()?;
    let text = String::from_utf8(output.stderr).ok()?;
    let (_, version) = text.split_once('"')?;
    version.split(['.', '-', '"']).next()?.parse().ok()
}

/// Returns a folder in cargo's target folder that all profiles share, so that files are fetched once.
fn home() -> PathBuf {
    let out = PathBuf::from(var_os("OUT_DIR").expect("cargo tells every build script its folder"));
    let target = out
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target
        .map_or_else(|| out.clone(), Path::to_path_buf)
        .join("test-services")
}
