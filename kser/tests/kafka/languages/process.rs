use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::timeout;

/// Never reached unless something is broken.
const LIMIT: Duration = Duration::from_secs(120);

/// A process whose lines can be waited for. It is killed when dropped.
pub(crate) struct Process {
    child: Child,
    /// Read at once, whoever looks at them: a process whose output nobody reads stands still.
    lines: UnboundedReceiver<String>,
    seen: Vec<String>,
    /// Open as long as the process lives: what reads from it never ends.
    _input: Option<ChildStdin>,
}

impl Process {
    /// Starts a script with the Python that has the package.
    pub(crate) fn python(script: &str, arguments: &[&str]) -> Self {
        Self::python_with(script, arguments, &[])
    }

    /// Starts such a script with these variables in its environment.
    pub(crate) fn python_with(
        script: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(test_services::python());
        command
            .arg(here.join(script))
            .args(arguments)
            .envs(variables.iter().copied())
            .env("PYTHONPATH", here.join("../examples/python"))
            .env("PYTHONUTF8", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // Where the package writes files for each message: the default is root's.
            .env("LOCK_PATH", env!("CARGO_TARGET_TMPDIR"));
        Self::start(command)
    }

    /// Starts a program of `examples/java`.
    pub(crate) fn java(class: &str, arguments: &[&str]) -> Self {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/java");
        let mut command = Command::from(test_services::java(&sources));
        command.arg(class).args(arguments);
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let (line, lines) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(text)) = output.next_line().await {
                let _ = line.send(text);
            }
        });
        Self {
            _input: child.stdin.take(),
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for the next line that contains a text, and returns it.
    pub(crate) async fn line(&mut self, text: &str) -> String {
        loop {
            match timeout(LIMIT, self.lines.recv()).await {
                Ok(Some(line)) if line.contains(text) => return line,
                Ok(Some(line)) => self.seen.push(line),
                Ok(None) => panic!("it ended without {text:?}: {:#?}", self.seen),
                Err(_) => panic!("no {text:?} after {LIMIT:?}: {:#?}", self.seen),
            }
        }
    }

    /// Waits for its end, which must be a good one.
    pub(crate) async fn end(mut self) {
        let ended = timeout(LIMIT, self.child.wait()).await.unwrap().unwrap();
        assert!(ended.success(), "{ended}: {:#?}", self.seen);
    }

    /// Kills it (`kill -9`).
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
