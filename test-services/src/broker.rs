use std::fs;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::deadline::retry;
use crate::installation::succeed;

/// A shell script that writes its process id to a file for the watchdog before it becomes Java, so that the watchdog knows each
/// running broker.
const BECOME_JAVA: &str = r#"echo $$ >"$0/pid" && exec "$@""#;

/// The process of one broker. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Broker {
    process: Child,
    folder: PathBuf,
    frozen: bool,
}

impl Broker {
    /// Starts the broker of a folder, which must contain `server.properties`.
    pub(crate) fn start(mut java: Command, folder: &Path) -> Result<Self, String> {
        java.arg("kafka.Kafka")
            .arg(folder.join("server.properties"));
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("log"))
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let process = Command::new("sh")
            .args(["-c", BECOME_JAVA])
            .arg(folder)
            .arg(java.get_program())
            .args(java.get_args())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|error| error.to_string())?)
            .stderr(log)
            // Ctrl-C must reach the test only.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("sh cannot be run: {error}"))?;
        Ok(Self {
            process,
            folder: folder.to_owned(),
            frozen: false,
        })
    }

    /// Retries until `ready` succeeds. If the broker has ended by itself, or takes too long, the error contains its log.
    pub(crate) fn wait_until(
        &mut self,
        mut ready: impl FnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        let mut ended = None;
        let last = retry(|| {
            ended = self.process.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() { Ok(()) } else { ready() }
        });
        let problem = match (ended, last) {
            (Some(status), _) => format!("a broker has ended by itself ({status})"),
            (None, Err(error)) => format!("a broker is not ready: {error}"),
            (None, Ok(())) => return Ok(()),
        };
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        Err(format!("{problem}\n{log}"))
    }

    /// Stops the broker gracefully. Returns when it has ended.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        self.signal("TERM")?;
        retry(|| match self.process.try_wait() {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("a broker does not stop".to_owned()),
            Err(error) => Err(error.to_string()),
        })
    }

    pub(crate) fn freeze(&mut self) -> Result<(), String> {
        self.frozen = true;
        self.signal("STOP")
    }

    pub(crate) fn thaw(&mut self) -> Result<(), String> {
        self.frozen = false;
        self.signal("CONT")
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen
    }

    fn signal(&self, name: &str) -> Result<(), String> {
        let id = self.process.id().to_string();
        // The shell has a built-in `kill`; the command may not be installed.
        succeed(Command::new("sh").args(["-c", r#"kill -"$0" "$1""#, name, &id])).map(drop)
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // From now on another process may get the id.
        let _ = fs::remove_file(self.folder.join("pid"));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.end();
    }
}
