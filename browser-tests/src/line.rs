use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

/// The answer to a call: its result, or the message of its error.
type Answer = Result<Value, String>;

/// The line to the browser: calls that are answered, and events of the tabs.
///
/// A message is JSON, and ends with a zero byte. A thread reads the answers, because the tests have a runtime each.
#[derive(Debug, Clone)]
pub(crate) struct Line(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    input: Mutex<ChildStdin>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Answer>>,
    /// The receivers of events, by the id of the session of their tab.
    tabs: BTreeMap<String, mpsc::UnboundedSender<Event>>,
}

/// An event of a tab.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) method: String,
    pub(crate) params: Value,
}

impl Line {
    /// Begins to read.
    pub(crate) fn new(input: ChildStdin, output: ChildStdout) -> Self {
        let line = Self(Arc::new(Inner {
            input: Mutex::new(input),
            state: Mutex::default(),
        }));
        let reader = line.clone();
        thread::spawn(move || reader.read(output));
        line
    }

    /// Calls a method of the browser, or of a tab.
    ///
    /// # Errors
    ///
    /// Returns the browser's message, or that the browser has ended.
    pub(crate) async fn call(&self, tab: Option<&str>, method: &str, params: Value) -> Answer {
        let (sender, answer) = oneshot::channel();
        let number = self.state(|state| {
            state.calls += 1;
            state.waiting.insert(state.calls, sender);
            state.calls
        });
        let mut message = json!({ "id": number, "method": method, "params": params });
        if let Some(tab) = tab {
            message["sessionId"] = tab.into();
        }
        self.write(&message);
        answer
            .await
            .unwrap_or_else(|_| Err("the browser has ended".to_owned()))
    }

    /// Calls a method, and leaves its answer.
    pub(crate) fn tell(&self, tab: Option<&str>, method: &str, params: &Value) {
        let number = self.state(|state| {
            state.calls += 1;
            state.calls
        });
        let mut message = json!({ "id": number, "method": method, "params": params });
        if let Some(tab) = tab {
            message["sessionId"] = tab.into();
        }
        self.write(&message);
    }

    /// Receives the events of a tab from now on.
    pub(crate) fn events(&self, tab: &str) -> mpsc::UnboundedReceiver<Event> {
        let (sender, events) = mpsc::unbounded_channel();
        self.state(|state| state.tabs.insert(tab.to_owned(), sender));
        events
    }

    fn write(&self, message: &Value) {
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        let mut input = self.0.input.lock().unwrap_or_else(PoisonError::into_inner);
        // A browser that has ended answers no more: the call ends with that.
        let _ = input.write_all(&bytes).and_then(|()| input.flush());
    }

    fn read(&self, output: ChildStdout) {
        let mut output = BufReader::new(output);
        let mut bytes = Vec::new();
        while output
            .read_until(0, &mut bytes)
            .is_ok_and(|length| length > 0)
        {
            bytes.pop();
            if let Ok(message) = serde_json::from_slice(&bytes) {
                self.receive(message);
            }
            bytes.clear();
        }
        self.state(|state| {
            state.waiting.clear();
            state.tabs.clear();
        });
    }

    fn receive(&self, mut message: Value) {
        if let Some(number) = message["id"].as_u64() {
            let answer = match message.get("error") {
                Some(error) => Err(error["message"].as_str().unwrap_or_default().to_owned()),
                None => Ok(message["result"].take()),
            };
            if let Some(waiting) = self.state(|state| state.waiting.remove(&number)) {
                let _ = waiting.send(answer);
            }
            return;
        }
        let event = Event {
            method: message["method"].as_str().unwrap_or_default().to_owned(),
            params: message["params"].take(),
        };
        let tab = message["sessionId"].as_str().unwrap_or_default();
        self.state(|state| {
            if let Some(events) = state.tabs.get(tab) {
                let _ = events.send(event);
            }
        });
    }

    fn state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
