use axum::extract::{Path, State};
use axum::response::Response;
use kser_ops::{ConsumerLine, Letter, LetterAddress, LetterDocument, OpsError, RunDocument};

use super::answers::document;
use crate::answer::Web;
use crate::pages::{letter_list, runs as run_list};
use crate::params::Params;

/// The entries of a list, unless a number is given; as the program `kser` has it.
const LIST: usize = 50;

/// The most letters of a list.
const MOST: usize = 10_000;

/// The most attempts of a run.
const ATTEMPTS: usize = 999;

/// The failed runs, the open runs or the records that are read, unless a number is given.
const READ: usize = 1000;

pub(crate) async fn status(State(web): State<Web>) -> Response {
    document(&web.in_time(web.ops.status()).await)
}

pub(crate) async fn runs(State(web): State<Web>, params: Params) -> Response {
    let page = async {
        let filter = run_list::filter(&params, web.ops.now())?;
        web.ops.runs(&filter).await
    };
    document(&web.in_time(page).await)
}

pub(crate) async fn run_causes(State(web): State<Web>, params: Params) -> Response {
    let causes = async {
        let filter = run_list::filter(&params, web.ops.now())?;
        web.ops
            .run_causes(filter, params.read("limit")?.unwrap_or(READ))
            .await
    };
    document(&web.in_time(causes).await)
}

pub(crate) async fn run(
    State(web): State<Web>,
    Path(id): Path<String>,
    params: Params,
) -> Response {
    let shown = async {
        let limit = params.read("limit")?.unwrap_or(LIST).clamp(1, ATTEMPTS);
        let with_payloads = params.read("payloads")?.unwrap_or(false);
        let id = web.ops.find_run(&id).await?;
        let run = web.ops.run(&id, limit, with_payloads).await?;
        let diagnosis = web.ops.diagnose(&id).await?;
        Ok((run, diagnosis, web.ops.estimate(&id).await?))
    };
    let shown = web.in_time(shown).await;
    let shown = shown.as_ref().map(|(run, diagnosis, left)| RunDocument {
        run,
        diagnosis,
        left: left.as_ref(),
    });
    match shown {
        Ok(shown) => document(&Ok(shown)),
        Err(error) => super::answers::failed(error),
    }
}

pub(crate) async fn why(State(web): State<Web>, Path(id): Path<String>) -> Response {
    let diagnosis = async {
        let id = web.ops.find_run(&id).await?;
        web.ops.diagnose(&id).await
    };
    document(&web.in_time(diagnosis).await)
}

pub(crate) async fn outcome(
    State(web): State<Web>,
    Path(id): Path<String>,
    params: Params,
) -> Response {
    let outcome = async {
        let step = params.read("step")?;
        let id = web.ops.find_run(&id).await?;
        web.ops.run_outcome(&id, step).await
    };
    document(&web.in_time(outcome).await)
}

pub(crate) async fn letters(State(web): State<Web>, params: Params) -> Response {
    let letters = async {
        let limit = params.read("limit")?.unwrap_or(LIST).min(MOST);
        let filter = letter_list::filter(&params)?;
        let mut view = web.ops.letters(params.get("topic"), filter).await?;
        let mut letters: Vec<Letter> = Vec::new();
        while letters.len() < limit
            && let Some(page) = view.next_page().await?
        {
            letters.extend(page);
        }
        letters.truncate(limit);
        Ok(letters)
    };
    document(&web.in_time(letters).await)
}

pub(crate) async fn letter_causes(State(web): State<Web>, params: Params) -> Response {
    let causes = async {
        let filter = letter_list::filter(&params)?;
        web.ops.letter_causes(params.get("topic"), filter).await
    };
    document(&web.in_time(causes).await)
}

pub(crate) async fn letter(
    State(web): State<Web>,
    Path((topic, partition, offset)): Path<(String, String, String)>,
    params: Params,
) -> Response {
    let letter = async {
        let address: LetterAddress = format!("{topic}/{partition}/{offset}").parse()?;
        let with_payload = params.read("payload")?.unwrap_or(false);
        let (letter, record) = web.ops.letter(&address).await?;
        let payload = record.payload.as_deref().filter(|_| with_payload);
        let payload = payload.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        Ok((letter, payload))
    };
    match &web.in_time(letter).await {
        Ok((letter, payload)) => document(&Ok(LetterDocument {
            letter,
            payload: payload.as_deref(),
        })),
        Err(error) => super::answers::failed(error),
    }
}

async fn lines(web: &Web) -> Result<Vec<ConsumerLine>, OpsError> {
    let found = web.in_time(web.ops.consumers()).await?;
    Ok(found.iter().map(ConsumerLine::new).collect())
}

pub(crate) async fn consumers(State(web): State<Web>) -> Response {
    document(&lines(&web).await)
}

pub(crate) async fn consumer(State(web): State<Web>, Path(id): Path<String>) -> Response {
    let found = lines(&web).await.and_then(|mut found| {
        found.retain(|consumer| consumer.is_called(&id));
        match found.is_empty() {
            true => Err(OpsError::NotFound {
                what: format!("no consumer {id} has announced itself"),
            }),
            false => Ok(found),
        }
    });
    document(&found)
}

pub(crate) async fn topics(State(web): State<Web>) -> Response {
    document(&web.in_time(web.ops.topics()).await)
}

pub(crate) async fn groups(State(web): State<Web>, params: Params) -> Response {
    document(&web.in_time(web.ops.groups(params.get("group"))).await)
}

pub(crate) async fn waiting(State(web): State<Web>, params: Params) -> Response {
    let waiting = async {
        let limit = params.read("limit")?.unwrap_or(LIST);
        web.ops
            .waiting(limit, params.read("read")?.unwrap_or(READ))
            .await
    };
    document(&web.in_time(waiting).await)
}

pub(crate) async fn missing() -> Response {
    super::answers::failed(&OpsError::NotFound {
        what: "there is no such document".to_owned(),
    })
}
