use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::{Notify, mpsc};

use crate::line::Event;

/// A request that a page has made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The address.
    pub url: String,
    /// The method, such as `GET`.
    pub method: String,
    /// The kind of the resource, such as `Document` or `Stylesheet`.
    pub kind: String,
}

/// A line that a page, or the browser about it, has logged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Logged {
    /// The kind: `error`, `warning`, `exception`, `violation` of the content security policy, and others.
    pub kind: String,
    /// The text.
    pub text: String,
}

/// The events of a tab, as they come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct State {
    pub(crate) requests: Vec<Request>,
    pub(crate) logged: Vec<Logged>,
    /// The number of pages that are loaded.
    pub(crate) loads: usize,
}

impl Observed {
    /// Observes the events until the tab is closed.
    pub(crate) async fn observe(self, mut events: mpsc::UnboundedReceiver<Event>) {
        while let Some(event) = events.recv().await {
            self.with(|state| state.add(&event));
            self.0.changed.notify_waiters();
        }
    }

    /// Calls a closure with the state.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until a condition holds.
    pub(crate) async fn until(&self, condition: impl Fn(&State) -> bool) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.with(|state| condition(state)) {
                return;
            }
            changed.await;
        }
    }
}

impl State {
    fn add(&mut self, event: &Event) {
        let Event { method, params } = event;
        match method.as_str() {
            "Page.loadEventFired" => self.loads += 1,
            "Network.requestWillBeSent" => self.requests.push(Request {
                url: shown(&params["request"]["url"]),
                method: shown(&params["request"]["method"]),
                kind: shown(&params["type"]),
            }),
            "Runtime.exceptionThrown" => {
                let details = &params["exceptionDetails"];
                let text = [&details["text"], &details["exception"]["description"]].map(shown);
                self.log("exception", text.join(" "));
            }
            "Runtime.consoleAPICalled" => {
                let text = params["args"].as_array().into_iter().flatten();
                let text: Vec<String> = text.map(|value| shown(&value["value"])).collect();
                self.log(&shown(&params["type"]), text.join(" "));
            }
            "Log.entryAdded" => {
                let entry = &params["entry"];
                self.log(&shown(&entry["level"]), shown(&entry["text"]));
            }
            "Audits.issueAdded" if params["issue"]["code"] == "ContentSecurityPolicyIssue" => {
                let details = &params["issue"]["details"]["contentSecurityPolicyIssueDetails"];
                self.log("violation", details.to_string());
            }
            _ => {}
        }
    }

    fn log(&mut self, kind: &str, text: String) {
        let kind = kind.to_owned();
        self.logged.push(Logged { kind, text });
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
