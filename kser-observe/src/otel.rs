use kser::traces::{HEADER, TraceOrigin, Tracer};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Connects the spans of clients with the traces of OpenTelemetry, for
/// [`ClientBuilder::tracer`](kser::client::ClientBuilder::tracer). The spans go to the layer of `tracing-opentelemetry` 0.34 that the
/// program has in its subscriber, and from there to its exporter; without such a layer nothing is traced. The sampler decides for the
/// whole run: the flags of the context are carried in its messages.
#[derive(Debug, Clone)]
pub struct OtelTracer {
    system: &'static str,
    settles: bool,
}

impl Default for OtelTracer {
    fn default() -> Self {
        Self::new()
    }
}

impl OtelTracer {
    /// Makes a tracer of clients on Kafka.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            system: "kafka",
            settles: false,
        }
    }

    /// Sets the attribute `messaging.system` of the spans. Defaults to `kafka`.
    #[must_use]
    pub const fn with_system(mut self, system: &'static str) -> Self {
        self.system = system;
        self
    }

    /// Makes spans of settles, too: from the end of an attempt until its outputs are published. They are off by default, since each
    /// attempt has one.
    #[must_use]
    pub const fn with_settles(mut self) -> Self {
        self.settles = true;
        self
    }
}

impl Tracer for OtelTracer {
    fn begin(&self, span: &Span, origin: Option<&TraceOrigin<'_>>) -> Option<String> {
        span.set_attribute("messaging.system", self.system);
        if let Some(origin) = origin {
            follow(span, origin);
        }
        context_of(span)
    }

    fn traces_settles(&self) -> bool {
        self.settles
    }
}

/// Links the span to its origin, which becomes its parent, or else begins a trace.
fn follow(span: &Span, origin: &TraceOrigin<'_>) {
    let carrier = Carrier(Some(origin.traceparent.to_owned()));
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    let linked = context.span().span_context().clone();
    if !linked.is_valid() {
        return;
    }
    let parent = match origin.is_parent {
        true => context,
        false => Context::new(),
    };
    // It fails only for a span that no layer takes, or that has been entered.
    if span.set_parent(parent).is_ok() {
        span.add_link(linked);
    }
}

/// Returns the context of a span as a `traceparent`; `None` for one that no layer takes.
fn context_of(span: &Span) -> Option<String> {
    let mut carrier = Carrier(None);
    TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
    carrier.0
}

/// Carries the `traceparent` alone: messages of kser have no place for a `tracestate`.
struct Carrier(Option<String>);

impl Extractor for Carrier {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.as_deref().filter(|_| key == HEADER)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|_| HEADER).collect()
    }
}

impl Injector for Carrier {
    fn set(&mut self, key: &str, value: String) {
        if key == HEADER {
            self.0 = Some(value);
        }
    }
}
