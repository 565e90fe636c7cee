//! Integration tests over real processes: one binary, one module for each promise.

mod admin;
mod cancel;
mod fleet;
mod layering;
mod misbehaving;
mod prepared_statements;
mod random_sequences;
mod state;
mod tree;
mod twin;
