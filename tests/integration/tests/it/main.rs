//! Integration tests over real processes: one binary, one module for each promise.

mod admin;
mod asynchronous;
mod builtins;
mod cancel;
mod fleet;
mod fleet_bans;
mod following;
mod health;
mod large_messages;
mod layering;
mod leaks;
mod misbehaving;
mod pools;
mod prepared_statements;
mod random_sequences;
mod replication;
mod routing;
mod sharded;
mod sharded_commit;
mod state;
mod tls;
mod tree;
mod twin;
mod unix;
