use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::line::Line;
use crate::session::Session;

/// Opens the pipes 3 and 4 for the browser, which are the input and the output of the shell.
const START: &str = "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";

/// A browser process.
#[derive(Debug)]
pub struct Browser {
    line: Line,
    process: Child,
}

/// Returns the browser of all tests of this program. It is started by the first.
///
/// # Panics
///
/// When it cannot be started.
#[must_use]
pub fn browser() -> &'static Browser {
    static SHARED: OnceLock<Browser> = OnceLock::new();
    SHARED.get_or_init(Browser::start)
}

impl Browser {
    fn start() -> Self {
        let program = env!("BROWSER_TESTS_PROGRAM");
        let profile = profile();
        let mut process = Command::new("sh")
            .args(["-c", START, "browser", program])
            // A container has no namespaces for the sandbox. The pages are those of the tests.
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
            ])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
            ])
            // Tabs in the background are tested as well.
            .args([
                "--disable-background-timer-throttling",
                "--disable-renderer-backgrounding",
            ])
            // Text of a picture has no coloured edges.
            .args(["--disable-lcd-text", "--disable-dev-shm-usage"])
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (
            process.stdin.take().unwrap(),
            process.stdout.take().unwrap(),
        );
        Self {
            line: Line::new(input, output),
            process,
        }
    }

    /// Begins a session, with cookies of its own.
    pub async fn session(&self) -> Session {
        let made = self
            .call(
                "Target.createBrowserContext",
                json!({ "disposeOnDetach": true }),
            )
            .await;
        Session::new(self.line.clone(), text(&made, "browserContextId"))
    }

    /// Returns the version of the browser.
    pub async fn version(&self) -> String {
        text(&self.call("Browser.getVersion", json!({})).await, "product")
    }

    /// Returns the id of the process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        let answer = self.line.call(None, method, params).await;
        answer.unwrap_or_else(|error| panic!("the browser refuses {method}: {error}"))
    }
}

/// Returns the folder for the profile of this program's browser, and removes those of programs that have ended.
fn profile() -> PathBuf {
    let folder = crate::pictures();
    let profiles = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    for profile in profiles.map(|entry| entry.path()) {
        let name = profile.file_name().and_then(|name| name.to_str());
        let process = name.and_then(|name| name.strip_prefix("profile-"));
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            // Another program may remove it as well.
            let _ = std::fs::remove_dir_all(profile);
        }
    }
    folder.join(format!("profile-{}", std::process::id()))
}

/// Returns a field of an answer.
pub(crate) fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_default().to_owned()
}
