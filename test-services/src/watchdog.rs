use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio, id};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::installation::home;

/// A folder for brokers, and a process that kills the brokers and removes the folder when this process ends or the value is
/// dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    folder: PathBuf,
    process: Child,
}

impl Watchdog {
    /// Creates an empty folder, and starts its watchdog.
    pub(crate) fn new() -> Result<Self, String> {
        Self::new_in(&home().join("run"))
    }

    /// As [`new`](Self::new), with the folder in another one than cargo's target folder.
    pub(crate) fn new_in(parent: &Path) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("{}-{n}", id()));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let process = Command::new("sh")
            .args(["-c", include_str!("watchdog.sh")])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C must reach the test only.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("sh cannot be run: {error}"))?;
        Ok(Self { folder, process })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // Waiting closes the pipe first, which ends the watchdog.
        let _ = self.process.wait();
    }
}
