//! Offset commits: how they are written and confirmed, when, and how large a request may be.

mod io;
pub(crate) mod request_size;
pub(crate) mod schedule;

pub(crate) use self::io::{
    CommitEntry, CommitRequest, Committed, changes, final_commits, for_partitions, list_of,
    next_request, read, read_back, send, statement, write_all,
};
