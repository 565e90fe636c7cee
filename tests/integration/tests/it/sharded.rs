//! Sessions over several shards, compared with one Postgres that has all rows.

mod compare;
mod copy;
mod copy_defaults;
mod copy_query;
mod encodings;
mod extended;
mod keys;
mod life;
mod mixed_rules;
mod overrides;
mod own_types;
mod reads;
mod reads_shards;
mod schemas;
mod silent;
mod simple;
mod sql;
mod transactions;
mod two_proxies;
