use std::fs;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::installation::{home, succeed};

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// Returns the path of a Python interpreter with the Python package kser and its Kafka client.
///
/// The first call creates a virtual environment in cargo's target folder, which takes half a minute; other processes wait for
/// it, or use the existing one.
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
        // An interrupted attempt may have left an incomplete folder.
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

/// Returns the name of the folder, which depends on the requirements and the version of Python. It also depends on the path,
/// since an environment contains its own path, and is invalid after the target folder was copied or moved.
fn name() -> Result<String, String> {
    let version = "import sys; print(sys.version, sys.executable)";
    let python = succeed(Command::new("python3").args(["-c", version]))?;
    let mut hasher = DefaultHasher::new();
    (REQUIREMENTS, python.stdout, home()).hash(&mut hasher);
    Ok(format!("python-{:016x}", hasher.finish()))
}
