//! The coordinators of groups and transactions.

use crate::wire::{BrokerConnection, Request};

const FIND_COORDINATOR: i16 = 10;

/// The kinds of coordinators.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// Asks for the coordinators of a group and of a transaction, which creates the internal topics. Fails until these are ready.
pub(crate) fn are_ready(connection: &mut BrokerConnection) -> Result<(), String> {
    find(connection, "test-services", GROUP)?;
    find(connection, "test-services", TRANSACTION).map(drop)
}

/// Returns the address of the broker that coordinates a group.
pub(crate) fn of_group(connection: &mut BrokerConnection, group: &str) -> Result<String, String> {
    find(connection, group, GROUP)
}

fn find(connection: &mut BrokerConnection, name: &str, kind: i8) -> Result<String, String> {
    let mut answer = connection.call(FIND_COORDINATOR, 1, Request::new().text(name).i8(kind))?;
    let (_throttled, error, message) = (answer.i32()?, answer.i16()?, answer.text()?);
    if error != 0 {
        return Err(format!("no coordinator of {name}: error {error} {message}"));
    }
    let (_id, host, port) = (answer.i32()?, answer.text()?, answer.i32()?);
    Ok(format!("{host}:{port}"))
}
