//! Acts: each is shown beforehand, asked of the same rules that the act asks, and carried out by the name of the visitor.

pub(crate) mod bulk;
pub(crate) mod consumer;
pub(crate) mod job_page;
pub(crate) mod jobs;
pub(crate) mod one;
pub(crate) mod plans;
pub(crate) mod routes;
pub(crate) mod words;
