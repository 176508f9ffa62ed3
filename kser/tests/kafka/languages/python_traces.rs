//! The trace of a run of which a Python consumer runs a step.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kser::traces::{TraceOrigin, Tracer};
use kser::{Error, Status, Step};
use libtest_mimic::Trial;
use tokio::sync::mpsc;
use tracing::Span;

use super::values::{ODD_NUMBERS, object, values};
use super::{Place, with_python};
use crate::common::{patiently, trials};

const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn trials() -> Vec<Trial> {
    trials![
        with_python:
        a_run_is_one_trace_through_a_python_step_carried,
        a_run_is_one_trace_through_a_python_step_stored,
    ]
}

/// A span: the context that it follows from, and its own.
#[derive(Debug, Clone)]
struct Spanned {
    origin: Option<String>,
    context: String,
}

/// Numbers traces and spans, and keeps them.
#[derive(Debug, Clone, Default)]
struct Chain(Arc<Mutex<Vec<Spanned>>>);

impl Tracer for Chain {
    fn begin(&self, _: &Span, origin: Option<&TraceOrigin<'_>>) -> Option<String> {
        let mut all = self.0.lock().unwrap();
        let number = all.len() + 1;
        let parent = origin.filter(|origin| origin.is_parent);
        let trace = match parent {
            Some(parent) => trace_of(parent.traceparent),
            None => format!("{number:032x}"),
        };
        let context = format!("00-{trace}-{number:016x}-01");
        let origin = origin.map(|origin| origin.traceparent.to_owned());
        all.push(Spanned {
            origin,
            context: context.clone(),
        });
        Some(context)
    }
}

fn trace_of(context: &str) -> String {
    context.split('-').nth(1).unwrap().to_owned()
}

async fn one_trace(place: &str, stored: bool) -> Result<(), Error> {
    let place = Place::new(place);
    let chain = Chain::default();
    let servers = tokio::task::spawn_blocking(test_services::kafka).await;
    let (servers, prefix) = (servers.unwrap(), &place.prefix);
    let url = format!("kafka://{servers}?create=3&prefix={prefix}");
    let client = || async {
        let builder = kser::Client::builder_from_url(&*url).tracer(chain.clone());
        let builder = match stored {
            true => builder.store(kser::memory::MemoryStore::new()),
            false => builder,
        };
        builder.build().await
    };
    let kser = patiently(client).await?;
    place.make_topic("python");
    let (told, mut given) = mpsc::unbounded_channel();
    let consumer = kser.consumer(values(&told)?).spawn();
    let mut python = place.consumer("python", "external");
    let params = || object(r#"{"n": 1}"#);
    let steps = vec![
        Step::named("values.First", &params()),
        Step::named("python.Echo", &params()).external(LIMIT),
        Step::named("values.Third", &object(ODD_NUMBERS)),
    ];
    let run = kser.producer().launch_steps("values.All", steps).await?;
    python.line("params").await;
    given.recv().await.unwrap();
    let state = run.wait_timeout(LIMIT).await?;
    assert_eq!(state.status, Status::Success, "{state:?}");
    consumer.stop().await?;
    let spans = chain.0.lock().unwrap().clone();
    // The launch, and an attempt at each step of this consumer, at least.
    assert!(spans.len() >= 3, "{spans:#?}");
    let trace = trace_of(&spans.first().unwrap().context);
    let is_of_it = |spanned: &Spanned| trace_of(&spanned.context) == trace;
    assert!(spans.iter().all(is_of_it), "{spans:#?}");
    // Each span but the first follows from an earlier one.
    for (number, spanned) in spans.iter().enumerate().skip(1) {
        let earlier = spans.iter().take(number);
        let mut contexts = earlier.map(|earlier| Some(&earlier.context));
        assert!(
            contexts.any(|context| context == spanned.origin.as_ref()),
            "{spans:#?}"
        );
    }
    Ok(())
}

async fn a_run_is_one_trace_through_a_python_step_carried() -> Result<(), Error> {
    one_trace("traced-carried-python", false).await
}

async fn a_run_is_one_trace_through_a_python_step_stored() -> Result<(), Error> {
    one_trace("traced-stored-python", true).await
}
