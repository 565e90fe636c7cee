//! Chooses the instance of a shard that a statement goes to; no IO, no clock.
//!
//! One file per strategy. So far there is one: every statement goes to the primary.

mod primary;

pub use primary::for_write;
