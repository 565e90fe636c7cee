//! The tests of sqlx.

mod copy;
mod large;
mod listener;
mod locks;
mod migrations;
mod pool;
mod statements;
mod streams;
mod transactions;
mod types;
