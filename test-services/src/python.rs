use std::fs;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::installation::{home, succeed};

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// Tells the path of a Python interpreter that has the Python package kser, and the Kafka client that it uses.
///
/// The first call of all makes a virtual environment in cargo's target folder, which takes half a minute; others wait for
/// it, or find it made.
///
/// # Panics
///
/// If there is no Python 3, or the packages cannot be fetched.
#[must_use]
pub fn python() -> &'static Path {
    static ONE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let one = ONE.get_or_init(find_or_make);
    one.as_deref().unwrap_or_else(|error| panic!("{error}"))
}

fn find_or_make() -> Result<PathBuf, String> {
    let text = |error| format!("{}: {error}", home().display());
    fs::create_dir_all(home()).map_err(text)?;
    let lock = File::create(home().join("python.lock")).map_err(text)?;
    lock.lock().map_err(text)?;
    let folder = home().join(name()?);
    let python = folder.join("bin").join("python");
    let ready = folder.join("ready");
    if !ready.exists() {
        // What an interrupted attempt has left is of no use.
        let _ = fs::remove_dir_all(&folder);
        make(&folder, &python)?;
        File::create(ready).map_err(text)?;
    }
    Ok(python)
}

fn make(folder: &Path, python: &Path) -> Result<(), String> {
    succeed(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(|error| error.to_string())?;
    let mut install = Command::new(python);
    install.args(["-m", "pip", "install", "--quiet", "--requirement"]);
    succeed(install.arg(requirements)).map(drop)
}

/// The name of the folder: another one for other requirements or another Python. An environment knows its own path, so one
/// that was copied or moved along with the target folder is another, too.
fn name() -> Result<String, String> {
    let version = "import sys; print(sys.version, sys.executable)";
    let python = succeed(Command::new("python3").args(["-c", version]))?;
    let mut hasher = DefaultHasher::new();
    (REQUIREMENTS, python.stdout, home()).hash(&mut hasher);
    Ok(format!("python-{:016x}", hasher.finish()))
}
