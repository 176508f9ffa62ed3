//! Traces: spans of `tracing` that follow a run from process to process.
//!
//! A message names the trace that it belongs to in `metadata.tracing.traceparent` (W3C trace context), which the Python package
//! passes on. [`ClientBuilder::tracer`](crate::client::ClientBuilder::tracer) sets the tracer that reads and writes it: the
//! crate `kser-observe` has one for OpenTelemetry. A client without a tracer hands on the context that a message has, and makes no
//! spans but those of its attempts.
//!
//! | span | `otel.kind` | name | parent |
//! |---|---|---|---|
//! | a task is sent, a run is launched | `producer` | `send TOPIC` | the caller's span |
//! | an attempt | `consumer` | `process TOPIC` | the context in the message, and a link to it |
//! | a settle, if the tracer wants it | `client` | `settle TOPIC` | the attempt, and a link to it |
//! | a verb of [`Runs`](crate::run::Runs) | `internal` | `kser VERB` | the caller's span, and a link to the context of the run's launch |
//!
//! The next step of a run and a message that a handler sends carry the context of the attempt that they follow from: a run is
//! one trace. An attempt that begins more than [`LONGEST_WAIT`] after the first failure of its step, or after the last change of a stored
//! run, and a verb with the attempt that follows, begin a trace of their own that links to the one before, so that no trace stays open
//! for hours.
//!
//! The names of attributes are those of OpenTelemetry's conventions for messaging, version 1.44.

use std::fmt::Debug;
use std::time::Duration;

use kser_core::{Metadata, Name, Record, RunId, TaskId, Topic};
use tracing::Span;

/// The name of the header of a record with the trace context, for programs that read no metadata.
pub const HEADER: &str = "traceparent";

/// The time of failures, or without a change of a run, after which an attempt begins a trace of its own.
pub const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Connects the spans of a client with traces.
///
/// Workers call it for each attempt, producers for each message: it must neither block nor take long.
pub trait Tracer: Debug + Send + Sync + 'static {
    /// Connects a span that has not been entered yet with the context that it follows from, and returns the context of the span for
    /// the messages that follow from it: a `traceparent`, or `None` for a span that is not traced.
    fn begin(&self, span: &Span, origin: Option<&TraceOrigin<'_>>) -> Option<String>;

    /// Says whether settles have spans: from the end of an attempt until its outputs are published. By default they have none.
    fn traces_settles(&self) -> bool {
        false
    }
}

/// The context that a span follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceOrigin<'a> {
    /// The W3C trace context, as it stands in the message. A tracer ignores one that it cannot read.
    pub traceparent: &'a str,
    /// Whether the span is a child of the context; otherwise it begins a trace. It links to the context in both cases.
    pub is_parent: bool,
}

impl<'a> TraceOrigin<'a> {
    /// Makes the origin of a span that is a child of the context.
    #[must_use]
    pub const fn parent(traceparent: &'a str) -> Self {
        Self {
            traceparent,
            is_parent: true,
        }
    }

    /// Makes the origin of a span that begins a trace of its own.
    #[must_use]
    pub const fn linked(traceparent: &'a str) -> Self {
        Self {
            traceparent,
            is_parent: false,
        }
    }
}

/// Makes the span around the publication of a message, and puts its context into the metadata. Without a tracer the span is
/// disabled, and the metadata stay.
pub(crate) fn send_span(
    tracer: Option<&dyn Tracer>,
    topic: &Topic,
    message: (&Name, &TaskId),
    run: Option<&RunId>,
    metadata: &mut Metadata,
) -> Span {
    let Some(tracer) = tracer else {
        return Span::none();
    };
    let (entrypoint, uuid) = message;
    let span = tracing::info_span!(
        target: "kser",
        "kser.send",
        otel.name = format!("send {topic}"),
        otel.kind = "producer",
        messaging.operation.name = "send",
        messaging.operation.r#type = "send",
        messaging.destination.name = topic.as_str(),
        messaging.message.id = uuid.as_str(),
        messaging.message.conversation_id = run.map(RunId::as_str),
        kser.entrypoint = entrypoint.as_str(),
    );
    set_context(metadata, tracer.begin(&span, None));
    span
}

/// Makes the span around a settle, a child of the attempt with this context.
pub(crate) fn settle_span(tracer: &dyn Tracer, topic: &Topic, attempt: &str) -> Span {
    let span = tracing::info_span!(
        target: "kser",
        "kser.settle",
        otel.name = format!("settle {topic}"),
        otel.kind = "client",
        messaging.operation.name = "settle",
        messaging.operation.r#type = "settle",
        messaging.destination.name = topic.as_str(),
    );
    tracer.begin(&span, Some(&TraceOrigin::parent(attempt)));
    span
}

/// Makes the span around a verb on a run, and puts its context into the metadata of the run, which has that of its launch.
pub(crate) fn verb_span(
    tracer: Option<&dyn Tracer>,
    verb: &str,
    run: &RunId,
    metadata: &mut Metadata,
) -> Span {
    let Some(tracer) = tracer else {
        return Span::none();
    };
    let span = tracing::info_span!(
        target: "kser",
        "kser.verb",
        otel.name = format!("kser {verb}"),
        otel.kind = "internal",
        messaging.message.conversation_id = run.as_str(),
    );
    let before = metadata.traceparent();
    let origin = before.as_deref().map(TraceOrigin::linked);
    set_context(metadata, tracer.begin(&span, origin.as_ref()));
    span
}

/// Puts the context of a span into the metadata of a message that follows from it.
pub(crate) fn set_context(metadata: &mut Metadata, context: Option<String>) {
    if let Some(context) = context {
        *metadata = std::mem::take(metadata).with_traceparent(&context);
    }
}

/// Adds the trace context of a message as a header.
pub(crate) fn with_header(record: Record, metadata: &Metadata) -> Record {
    match metadata.traceparent() {
        Some(context) => record.with_header(HEADER, context),
        None => record,
    }
}
