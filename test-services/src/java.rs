use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::installation::{Installation, home, once, succeed};
use crate::release::Release;

/// Returns a Java command with Kafka's classes, its client among them, and the classes of a folder of sources, which are
/// compiled if they have changed. The name of a class and its arguments have to be added.
///
/// # Panics
///
/// If there is no Java compiler, Kafka cannot be fetched, or the sources cannot be compiled.
#[must_use]
pub fn java(sources: &Path) -> Command {
    let kafka = Installation::get(Release::default());
    let classes = compiled(kafka, sources).unwrap_or_else(|error| panic!("{error}"));
    kafka.java_with(true, &classes)
}

fn compiled(kafka: &Installation, sources: &Path) -> Result<PathBuf, String> {
    let text = |error| format!("{}: {error}", sources.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(sources).map_err(text)? {
        let path = entry.map_err(text)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "java")
        {
            files.push(path);
        }
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    kafka.libs().hash(&mut hasher);
    for file in &files {
        fs::read(file).map_err(text)?.hash(&mut hasher);
    }
    let folder = home().join(format!("java-{:016x}", hasher.finish()));
    once(&folder, || {
        let mut javac = Command::new("javac");
        javac.args(["-proc:none", "-encoding", "UTF-8", "-d"]);
        javac.arg(&folder).arg("-cp").arg(kafka.libs());
        succeed(javac.args(&files)).map(drop)
    })?;
    Ok(folder)
}

/// Joins folders or jars to a class path.
pub(crate) fn class_path(parts: &[&Path]) -> OsString {
    let mut path = OsString::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            path.push(":");
        }
        path.push(part);
    }
    path
}
