#![doc = include_str!("../README.md")]

#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the poll thread, which asks it, is not there yet")
)]
mod progress;
