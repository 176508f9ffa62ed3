//! The transport on real Kafka, and on the mock of the Kafka client. Tests share a broker, but for those that start their own.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod commit_requests;
mod commits;
mod common;
mod connects;
mod coordinator;
mod health;
mod idle;
mod lag;
mod lost;
mod missing;
mod outside;
mod partitions;
mod records;
mod recreated;
mod refused;
mod starts;
mod strict;
mod sweep;
mod tools;
mod transactions;
mod unclean;
mod waits;
