//! Sessions over several shards, compared with one Postgres that has all rows.

mod compare;
mod copy;
mod extended;
mod keys;
mod life;
mod mixed_rules;
mod overrides;
mod reads;
mod schemas;
mod silent;
mod simple;
mod sql;
mod transactions;
mod two_proxies;
