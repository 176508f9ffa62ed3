use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use kser::client::Client;
use kser::run::RunId;
use kser::{Entrypoint, IntoTask, Registry, RetryPolicy, Step, TaskError};
use kser_ops::Ops;
use kser_web::{Access, Gate, WebOptions};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tower::ServiceExt as _;

/// A task that succeeds, fails or stands, as its params say.
#[derive(Debug, Clone, Default, Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Work")]
pub(crate) struct Work {
    /// The error, if the task fails.
    pub(crate) error: String,
    /// The text of its success.
    pub(crate) says: String,
    pub(crate) password: String,
    pub(crate) amount: Option<serde_json::Number>,
}

async fn work(work: Work) -> Result<String, TaskError> {
    match work.error.as_str() {
        "" => Ok(work.says),
        "stand" => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Ok(String::new())
        }
        error => Err(TaskError::permanent("Refused", error.to_owned())),
    }
}

/// An installation, and a browser that has the rights of its gate.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) router: Router,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("a text"))
    }
}

/// Lets everybody in as `oncall`, with all rights.
pub(crate) fn open() -> WebOptions {
    WebOptions::new(Gate::program(|_| Access::Act("oncall".to_owned())))
}

/// Makes a gate of one-time tokens, and the list of those that it has announced.
pub(crate) fn one_time() -> (Gate, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&told);
    let announce = move |token: &str| to.lock().expect("no panic").push(token.to_owned());
    (Gate::one_time("oncall", announce).expect("a gate"), told)
}

impl World {
    /// Makes an installation in memory.
    pub(crate) async fn new(options: WebOptions) -> Self {
        let client = kser::connect_with_store("memory://", "memory://").await;
        Self::of(client.expect("a client"), options)
    }

    /// Shows an installation.
    pub(crate) fn of(client: Client, options: WebOptions) -> Self {
        let router = kser_web::router(Ops::new(client.clone()), options);
        Self { client, router }
    }

    /// Runs steps to their end, or until they stand.
    pub(crate) async fn run(&self, id: &str, steps: Vec<Work>) -> RunId {
        let task = work.with_retry(RetryPolicy::never());
        let registry = Registry::new().task(task).build().expect("a registry");
        let consumer = self.client.consumer(registry).spawn();
        let steps = steps.into_iter().map(Step::new).collect();
        let launch = self.client.producer().launch_steps("shop.Order", steps);
        let run = launch.with_id(id).await.expect("a launch");
        run.wait().await.expect("an end");
        consumer.stop().await.expect("a stop");
        run.id().clone()
    }

    /// Asks as a program on this machine would.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "127.0.0.1:8790");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Body::from(body.to_owned()))
            .expect("a request");
        let answer = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("an answer");
        let (parts, body) = answer.into_parts();
        // A stream has no end: a test that gets one by mistake fails.
        let body = timeout(Duration::from_secs(10), to_bytes(body, 10_000_000)).await;
        let body = body.expect("an end").expect("a body");
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).expect("a text"),
        }
    }
}

pub(crate) fn says(text: &str) -> Work {
    Work {
        says: text.to_owned(),
        ..Work::default()
    }
}

pub(crate) fn fails(error: &str) -> Work {
    Work {
        error: error.to_owned(),
        ..Work::default()
    }
}
