//! Integration tests over real processes: one binary, one module for each promise.

mod admin;
mod asynchronous;
mod cancel;
mod fleet;
mod large_messages;
mod layering;
mod misbehaving;
mod replication;
mod state;
mod tree;
mod twin;
