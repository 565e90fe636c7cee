//! Integration tests over real processes: one binary, one module for each promise.

mod admin;
mod cancel;
mod fleet;
mod layering;
mod misbehaving;
mod state;
mod tls;
mod tree;
mod twin;
mod unix;
