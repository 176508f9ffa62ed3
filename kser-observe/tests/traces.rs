//! The spans of a client in the traces of OpenTelemetry.

use std::time::Duration;

use kser::backend::{Room, Transport, UnsettledQuery};
use kser::client::ClientBuilder;
use kser::memory::{MemoryStore, MemoryTransport};
use kser::message::Topic;
use kser::run::Run;
use kser::{Client, Context, Entrypoint, IntoTask, Registry, RetryPolicy, Step, TaskError};
use kser_observe::OtelTracer;
use opentelemetry::trace::{SpanId, SpanKind, Status, TraceId, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use serde::{Deserialize, Serialize};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;

type Tested<T = ()> = Result<T, Box<dyn std::error::Error>>;

#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
struct DiceRoll {
    fails: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceLaunch")]
struct DiceLaunch {
    rolls: usize,
    fails: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("news.Note")]
struct Note {}

/// Fails so many times, and sends a note.
async fn roll(ctx: Context, roll: DiceRoll) -> Result<String, TaskError> {
    if ctx.attempt() <= roll.fails {
        return Err(TaskError::temporary("Table", "the table is on fire"));
    }
    ctx.send(Note {})?;
    Ok(ctx.traceparent().unwrap_or_default())
}

fn registry(backoff: Duration) -> Result<Registry, kser::Error> {
    let build = |launch: DiceLaunch| async move {
        let fails = launch.fails;
        let steps = (0..launch.rolls).map(|_| Step::new(DiceRoll { fails }));
        Ok::<_, TaskError>(steps.collect::<Vec<_>>())
    };
    let policy = RetryPolicy::exponential(2, backoff).max_delay(backoff);
    Registry::new()
        .operation(build)
        .task(roll.with_retry(policy))
        .task(|_: Note| async {})
        .build()
}

/// The spans of a test. Its runtime has one thread, for which the subscriber is set.
struct Traces {
    exporter: InMemorySpanExporter,
    provider: SdkTracerProvider,
    _guard: DefaultGuard,
}

impl Traces {
    fn start() -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(layer);
        Self {
            exporter,
            provider,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    fn spans(&self) -> Tested<Vec<SpanData>> {
        self.provider.force_flush()?;
        Ok(self.exporter.get_finished_spans()?)
    }

    /// Returns the spans of this name, in the order of their starts.
    fn named(&self, name: &str) -> Tested<Vec<SpanData>> {
        let mut named = self.spans()?;
        named.retain(|span| span.name == name);
        named.sort_by_key(|span| span.start_time);
        Ok(named)
    }
}

fn id(span: &SpanData) -> SpanId {
    span.span_context.span_id()
}

fn trace(span: &SpanData) -> TraceId {
    span.span_context.trace_id()
}

fn links(span: &SpanData) -> Vec<SpanId> {
    let links = span.links.iter();
    links.map(|link| link.span_context.span_id()).collect()
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|it| it.key.as_str() == key);
    found.map(|it| it.value.to_string())
}

fn stored() -> ClientBuilder {
    let builder = Client::builder(MemoryTransport::new());
    builder.store(MemoryStore::new()).tracer(OtelTracer::new())
}

fn carried() -> ClientBuilder {
    Client::builder(MemoryTransport::new()).tracer(OtelTracer::new())
}

async fn play(kser: &Client, fails: u32) -> Result<Run, kser::Error> {
    let game = DiceLaunch { rolls: 3, fails };
    kser.producer().launch(game).with_id("game-7").await
}

#[tokio::test(start_paused = true)]
async fn a_game_of_dice_is_one_trace() -> Tested {
    for builder in [stored(), carried()] {
        let traces = Traces::start();
        let kser = builder.build().await?;
        let consumer = kser.consumer(registry(Duration::ZERO)?).spawn();
        let outcome = play(&kser, 0).await?.result().await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        consumer.stop().await?;

        let sent = traces.named("send dice")?;
        let steps = traces.named("process dice")?;
        let notes = traces.named("process news")?;
        let [launch] = &sent[..] else {
            panic!("{sent:#?}")
        };
        assert_eq!((steps.len(), notes.len()), (4, 3), "{steps:#?}");
        // The build follows from the launch, each step from the one before, and a note from the step that sends it.
        let mut parent = launch;
        for step in &steps {
            assert_eq!(step.parent_span_id, id(parent), "{step:#?}");
            assert_eq!(links(step), [id(parent)]);
            parent = step;
        }
        for (step, note) in steps[1..].iter().zip(&notes) {
            assert_eq!(note.parent_span_id, id(step));
        }
        let all = traces.spans()?;
        assert!(
            all.iter().all(|span| trace(span) == trace(launch)),
            "{all:#?}"
        );
        // The handler sees the context of its own attempt.
        assert!(outcome.message().contains(&id(&steps[3]).to_string()));

        assert_eq!(
            (launch.span_kind.clone(), steps[0].span_kind.clone()),
            (SpanKind::Producer, SpanKind::Consumer)
        );
        let told = |key| attribute(&steps[2], key).unwrap_or_default();
        assert_eq!(told("messaging.system"), "kafka");
        assert_eq!(told("messaging.operation.type"), "process");
        assert_eq!(told("messaging.destination.name"), "dice");
        assert_eq!(told("messaging.message.conversation_id"), "game-7");
        assert_eq!(
            (told("kser.entrypoint"), told("kser.step")),
            ("dice.DiceRoll".to_owned(), "2".to_owned())
        );
        assert_eq!(told("kser.operation"), "dice.DiceLaunch");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn attempts_at_a_step_have_one_parent_and_failures_name_their_error() -> Tested {
    let traces = Traces::start();
    let kser = carried().build().await?;
    let consumer = kser.consumer(registry(Duration::from_secs(1))?).spawn();
    play(&kser, 1).await?.result().await?;
    consumer.stop().await?;
    let steps = traces.named("process dice")?;
    assert_eq!(steps.len(), 7, "{steps:#?}");
    let (failed, succeeded) = (&steps[1], &steps[2]);
    assert_eq!(failed.parent_span_id, succeeded.parent_span_id);
    assert_eq!(failed.status, Status::error(""));
    assert_eq!(attribute(failed, "error.type").as_deref(), Some("Table"));
    assert_eq!(succeeded.status, Status::Unset);
    assert_eq!(attribute(succeeded, "kser.attempt").as_deref(), Some("2"));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_attempt_after_a_long_wait_begins_a_trace_that_links_to_the_one_before() -> Tested {
    for builder in [stored(), carried()] {
        let traces = Traces::start();
        let kser = builder.build().await?;
        let consumer = kser.consumer(registry(Duration::from_secs(400))?).spawn();
        play(&kser, 1).await?.result().await?;
        consumer.stop().await?;
        let steps = traces.named("process dice")?;
        let (build, failed, later) = (&steps[0], &steps[1], &steps[2]);
        assert_eq!(trace(failed), trace(build));
        assert_eq!(later.parent_span_id, SpanId::INVALID);
        assert_ne!(trace(later), trace(failed));
        assert_eq!(links(later), links(failed), "both follow from the build");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_verb_begins_a_trace_that_links_to_the_run() -> Tested {
    let traces = Traces::start();
    let kser = stored().build().await?;
    let consumer = kser.consumer(registry(Duration::ZERO)?).spawn();
    let run = play(&kser, 2).await?;
    run.wait().await?;
    run.resume().await?;
    run.wait().await?;
    consumer.stop().await?;
    let launch = &traces.named("send dice")?[0];
    let verb = &traces.named("kser resume")?[0];
    assert_ne!(trace(verb), trace(launch));
    assert_eq!(links(verb), [id(launch)]);
    let steps = traces.named("process dice")?;
    let resumed = steps.iter().find(|step| step.parent_span_id == id(verb));
    assert_eq!(resumed.map(trace), Some(trace(verb)), "{steps:#?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn records_have_the_context_as_a_header() -> Tested {
    let traces = Traces::start();
    let transport = MemoryTransport::new();
    let kser = Client::builder(transport.clone()).tracer(OtelTracer::new().with_system("memory"));
    let kser = kser.build().await?;
    kser.producer().send(Note {}).await?;
    let inspect = transport.inspect().ok_or("no way to look")?;
    let query = UnsettledQuery::new("kser.news", Topic::new("news")?);
    let found = inspect
        .unsettled(query)
        .await?
        .next(Room::records(9))
        .await?;
    let headers = &found[0].record.headers;
    let sent = &traces.named("send news")?[0];
    let expected = format!("00-{}-{}-01", trace(sent), id(sent));
    let value = headers.iter().find(|(name, _)| name == "traceparent");
    let value = value.and_then(|(_, value)| value.as_deref());
    assert_eq!(value, Some(expected.as_bytes()));
    let payload = found[0].record.payload.as_deref().unwrap_or_default();
    assert!(String::from_utf8_lossy(payload).contains(&expected));
    assert_eq!(
        attribute(sent, "messaging.system").as_deref(),
        Some("memory")
    );
    Ok(())
}

/// A settle is a span of its own where it is wanted, a child of its attempt, also when the transport takes the outputs without being awaited.
#[tokio::test(start_paused = true)]
async fn settles_are_traced_if_that_is_wanted() -> Tested {
    for (wanted, tracer) in [
        (0, OtelTracer::new()),
        (3, OtelTracer::new().with_settles()),
    ] {
        let traces = Traces::start();
        let builder = Client::builder(MemoryTransport::new()).tracer(tracer);
        let kser = builder.build().await?;
        let consumer = kser.consumer(registry(Duration::ZERO)?).spawn();
        for _ in 0..3 {
            kser.producer().send(DiceRoll { fails: 0 }).await?;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        consumer.stop().await?;
        let settles = traces.named("settle dice")?;
        assert_eq!(settles.len(), wanted, "{settles:#?}");
        let attempts = traces.named("process dice")?;
        for settle in &settles {
            let attempt = attempts.iter().find(|it| id(it) == settle.parent_span_id);
            assert_eq!(attempt.map(trace), Some(trace(settle)), "{settle:#?}");
            assert_eq!(settle.span_kind, SpanKind::Client);
            let kind = attribute(settle, "messaging.operation.type");
            assert_eq!(kind.as_deref(), Some("settle"));
        }
    }
    Ok(())
}
