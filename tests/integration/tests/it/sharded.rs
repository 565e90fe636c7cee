//! Sessions over several shards, compared with one Postgres that has all rows.

mod compare;
mod copy;
mod extended;
mod keys;
mod life;
mod simple;
mod sql;
mod transactions;
mod wire;
