//! Exactly-once delivery: the outputs of deliveries and the offsets of their inputs become visible by one transaction.

mod calls;
mod link;
mod statement;
mod thread;
mod window;

pub(crate) use self::link::{
    Answers, EndedRecord, TransactionLink, TransactionOwner, none_published,
};
pub(crate) use self::statement::{finish_partitions, serve};
pub(crate) use self::thread::{TransactionSettings, start};
