//! Sessions over several shards, compared with one Postgres that has all rows.

mod compare;
mod extended;
mod life;
mod simple;
mod transactions;
