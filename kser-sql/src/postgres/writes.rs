//! The other writes: outputs that are published, runs that are purged, lives of instances.

use kser_core::RunId;
use kser_core::store::OutputId;

use super::columns::Answer;
use super::failure::Failure;
use super::session::Session;
use super::statements::Statements;
use crate::encoding::{signed, time};

/// Marks outputs as published.
pub(super) async fn relay(
    mut outputs: Vec<&OutputId>,
    session: &Session,
    statements: &Statements,
) -> Result<(), Failure> {
    outputs.sort_unstable();
    let ids: Vec<&[u8]> = outputs
        .iter()
        .map(|output| output.run.as_str().as_bytes())
        .collect();
    let versions: Vec<i64> = outputs
        .iter()
        .map(|output| signed(output.version))
        .collect();
    let places: Vec<i64> = outputs.iter().map(|output| output.index.into()).collect();
    session
        .query(&statements.relay, &[&ids, &versions, &places])
        .await
        .map(drop)
}

/// Removes a run that has ended.
pub(super) async fn purge(
    id: &RunId,
    session: &Session,
    statements: &Statements,
    (channel, process): (&str, i64),
) -> Result<bool, Failure> {
    let rows = session
        .query(
            &statements.purge,
            &[&id.as_str().as_bytes(), &channel, &process],
        )
        .await?;
    Ok(!rows.is_empty())
}

/// Begins a life of an instance. Its number is at least the time, so that it grows also after a backup was restored.
pub(super) async fn register(
    instance: &str,
    session: &Session,
    statements: &Statements,
) -> Result<Answer<u64>, Failure> {
    let rows = session
        .query(&statements.register, &[&instance.as_bytes()])
        .await?;
    let row = rows
        .first()
        .ok_or_else(|| Failure::permanent("a registration has no answer"))?;
    let life: i64 = row.try_get(0)?;
    Ok(Answer {
        now: time(row.try_get(1)?),
        value: life.cast_unsigned(),
    })
}
