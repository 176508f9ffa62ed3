use std::fmt;
use std::future::Future;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use kser_ops::{Ops, OpsError};

use crate::access::Visitor;
use crate::acts::jobs::Jobs;
use crate::acts::plans::Plans;
use crate::error;
use crate::html::{Markup, Page, shell};
use crate::live::hub::Hub;
use crate::options::WebOptions;
use crate::reading::Readings;

/// The parts that all requests share. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) ops: Ops,
    pub(crate) options: Arc<WebOptions>,
    pub(crate) readings: Readings,
    pub(crate) plans: Plans,
    pub(crate) jobs: Jobs,
    pub(crate) hub: Hub,
}

impl Web {
    pub(crate) fn new(ops: Ops, options: WebOptions) -> Self {
        Self {
            ops,
            options: Arc::new(options),
            readings: Readings::default(),
            plans: Plans::default(),
            jobs: Jobs::default(),
            hub: Hub::default(),
        }
    }

    /// Answers with a page, or with the reason why there is none.
    pub(crate) async fn show(
        &self,
        visitor: &Visitor,
        page: impl Future<Output = Result<Page, OpsError>> + Send,
    ) -> Response {
        match self.in_time(page).await {
            Ok(page) => self.answer(visitor, &page),
            Err(error) => self.fail(visitor, &error),
        }
    }

    /// Waits for an answer of the model, for as long as the options say.
    pub(crate) async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, OpsError>> + Send,
    ) -> Result<T, OpsError> {
        let limit = self.options.limit();
        let answered = tokio::time::timeout(limit, answer).await;
        answered.unwrap_or_else(|_| {
            let what = "the backend";
            Err(OpsError::TimedOut { what, limit })
        })
    }

    /// Answers with a page.
    pub(crate) fn answer(&self, visitor: &Visitor, page: &Page) -> Response {
        html(page.status, shell::page(self, visitor, page))
    }

    /// Answers with the page of an error.
    pub(crate) fn fail(&self, visitor: &Visitor, error: &OpsError) -> Response {
        let status = error::status(error);
        self.answer(visitor, &shell::failed(status, error))
    }

    /// Answers a request for a page that does not exist.
    pub(crate) fn missing(&self, visitor: &Visitor) -> Response {
        let error = OpsError::NotFound {
            what: "there is no such page".to_owned(),
        };
        self.answer(visitor, &shell::failed(StatusCode::NOT_FOUND, &error))
    }
}

/// Answers with HTML.
pub(crate) fn html(status: StatusCode, markup: Markup) -> Response {
    (status, Html(markup.into_string())).into_response()
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").finish_non_exhaustive()
    }
}
