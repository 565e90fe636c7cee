//! Integration tests over real processes: one binary, one module for each promise.

mod admin;
mod cancel;
mod fleet;
mod following;
mod layering;
mod leaks;
mod misbehaving;
mod state;
mod tree;
mod twin;
