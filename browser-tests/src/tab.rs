mod checks;
mod input;

use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::line::Line;
use crate::observed::{Logged, Observed, Request};
use crate::session::Session;
use crate::view::{Theme, View};

/// The time within which a page is loaded, or a condition comes true.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pause between two looks at a page.
const PAUSE: Duration = Duration::from_millis(20);

/// A tab of the browser. All that a person does is done by real input: the mouse and the keyboard, at the place where an element is
/// shown.
#[derive(Debug)]
pub struct Tab {
    line: Line,
    target: String,
    id: String,
    observed: Observed,
    observer: JoinHandle<()>,
    /// Keeps the session until the last of its tabs is closed.
    _session: Session,
}

impl Tab {
    pub(crate) async fn open_on(session: Session, line: Line, target: String, id: String) -> Self {
        let observed = Observed::default();
        let observer = tokio::spawn(observed.clone().observe(line.events(&id)));
        let tab = Self {
            line,
            target,
            id,
            observed,
            observer,
            _session: session,
        };
        for domain in ["Page", "Network", "Runtime", "Log", "Audits", "DOM"] {
            tab.call(&format!("{domain}.enable"), json!({})).await;
        }
        tab.set_view(View::desk(Theme::Light)).await;
        tab
    }

    /// Opens an address, and waits until the page is loaded.
    ///
    /// # Panics
    ///
    /// When it cannot be opened.
    pub async fn open(&self, url: &str) {
        let loads = self.loads();
        let opened = self.call("Page.navigate", json!({ "url": url })).await;
        if let Some(error) = opened["errorText"].as_str() {
            panic!("{url} cannot be opened: {error}");
        }
        self.is_loaded(loads + 1).await;
    }

    /// Loads the page again, and waits until it is loaded.
    pub async fn reload(&self) {
        let loads = self.loads();
        self.call("Page.reload", json!({})).await;
        self.is_loaded(loads + 1).await;
    }

    /// Returns the number of pages that are loaded so far.
    #[must_use]
    pub fn loads(&self) -> usize {
        self.observed.with(|state| state.loads)
    }

    /// Waits until this many pages are loaded.
    pub async fn is_loaded(&self, loads: usize) {
        let loaded = self.observed.until(|state| state.loads >= loads);
        let loaded = timeout(PATIENCE, loaded).await;
        assert!(loaded.is_ok(), "no page is loaded within {PATIENCE:?}");
    }

    /// Does something that leads to another page, and waits until that is loaded.
    pub async fn leads_on(&self, act: impl Future<Output = ()>) {
        let loads = self.loads();
        act.await;
        self.is_loaded(loads + 1).await;
    }

    /// Evaluates an expression in the page. A promise is awaited.
    ///
    /// # Panics
    ///
    /// When it throws.
    pub async fn eval(&self, expression: &str) -> Value {
        let call = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", call).await;
        if let Some(thrown) = answer.get("exceptionDetails") {
            panic!("{expression} throws {thrown}");
        }
        answer["result"]["value"].take()
    }

    /// Waits until an expression is true, at most for a time. Returns how long that took.
    ///
    /// # Panics
    ///
    /// When it does not become true, with the text of the page.
    pub async fn until_within(&self, expression: &str, limit: Duration) -> Duration {
        self.wait(expression, expression, limit).await
    }

    async fn until_named(&self, expression: &str, name: &str) -> Duration {
        self.wait(expression, name, PATIENCE).await
    }

    async fn wait(&self, expression: &str, name: &str, limit: Duration) -> Duration {
        let begin = Instant::now();
        loop {
            let ask =
                json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
            // While a page is replaced by the next there is none to ask.
            let answer = self
                .line
                .call(Some(&self.id), "Runtime.evaluate", ask)
                .await;
            if answer.is_ok_and(|answer| answer["result"]["value"] == true) {
                return begin.elapsed();
            }
            if begin.elapsed() > limit {
                panic!("not true within {limit:?}: {name}\n{}", self.text().await);
            }
            sleep(PAUSE).await;
        }
    }

    /// Waits until an expression is true.
    pub async fn until(&self, expression: &str) -> Duration {
        self.until_within(expression, PATIENCE).await
    }

    /// Waits until the page has a text.
    pub async fn until_text(&self, text: &str) -> Duration {
        let text = json!(text);
        self.until(&format!("document.body.innerText.includes({text})"))
            .await
    }

    /// Returns the text of the page, as it is seen.
    pub async fn text(&self) -> String {
        let text = self
            .eval("document.body ? document.body.innerText : ''")
            .await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Returns the title of the page.
    pub async fn title(&self) -> String {
        let title = self.eval("document.title").await;
        title.as_str().unwrap_or_default().to_owned()
    }

    /// Returns the address of the page.
    pub async fn url(&self) -> String {
        let url = self.eval("location.href").await;
        url.as_str().unwrap_or_default().to_owned()
    }

    /// Shows the page in another window.
    pub async fn set_view(&self, view: View) {
        let size = json!({
            "width": view.width, "height": view.height, "deviceScaleFactor": 1, "mobile": view.is_phone,
        });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let theme = match view.theme {
            Theme::Light => "light",
            Theme::Dark => "dark",
        };
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": theme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.call("Emulation.setEmulatedMedia", features).await;
    }

    /// Switches the scripts of the pages that are opened from now on off, or on.
    pub async fn set_scripts(&self, on: bool) {
        let off = json!({ "value": !on });
        self.call("Emulation.setScriptExecutionDisabled", off).await;
    }

    /// Slows the processor down by a factor, and the network to that of a phone: 150 ms for an answer, 1.6 Mbit/s.
    pub async fn set_phone_profile(&self, factor: u32) {
        self.call("Emulation.setCPUThrottlingRate", json!({ "rate": factor }))
            .await;
        let network = json!({
            "offline": false, "latency": 150, "downloadThroughput": 200_000, "uploadThroughput": 94_000,
        });
        self.call("Network.emulateNetworkConditions", network).await;
        self.call("Network.setCacheDisabled", json!({ "cacheDisabled": true }))
            .await;
    }

    /// Returns the time from the request to the first paint of the page.
    pub async fn first_paint(&self) -> Duration {
        let paint = "(performance.getEntriesByName('first-contentful-paint')[0] || {startTime: 0}).startTime";
        self.until(&format!("{paint} > 0")).await;
        let millis = self.eval(paint).await.as_f64().unwrap_or_default();
        Duration::from_secs_f64(millis / 1000.0)
    }

    /// Writes a picture of the whole page into the folder of pictures, as `NAME.png`.
    pub async fn picture(&self, name: &str) -> PathBuf {
        let file = crate::pictures().join(format!("{name}.png"));
        let size = self.call("Page.getLayoutMetrics", json!({})).await;
        let (width, height) = (
            &size["cssContentSize"]["width"],
            &size["cssContentSize"]["height"],
        );
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        self.capture(
            &file,
            json!({ "captureBeyondViewport": true, "clip": clip }),
        )
        .await;
        file
    }

    /// Writes a picture of the part that is seen into a file.
    pub async fn picture_of_view(&self, file: &Path) {
        self.capture(file, json!({})).await;
    }

    async fn capture(&self, file: &Path, how: Value) {
        let picture = self.call("Page.captureScreenshot", how).await;
        let picture = picture["data"].as_str().unwrap_or_default();
        let picture = BASE64.decode(picture.as_bytes()).unwrap();
        std::fs::write(file, picture).unwrap();
    }

    /// Lists the requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.observed.with(|state| state.requests.clone())
    }

    /// Lists the logged lines so far.
    #[must_use]
    pub fn logged(&self) -> Vec<Logged> {
        self.observed.with(|state| state.logged.clone())
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        let answer = self.line.call(Some(&self.id), method, params).await;
        answer.unwrap_or_else(|error| panic!("the browser refuses {method}: {error}"))
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        self.observer.abort();
        let target = json!({ "targetId": self.target });
        self.line.tell(None, "Target.closeTarget", &target);
    }
}
