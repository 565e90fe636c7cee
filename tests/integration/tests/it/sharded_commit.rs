//! Transactions over several shards: whole or not there at all, whatever dies at which step.

mod bank;
mod deadlocks;
mod faults;
mod locks;
mod refusals;
mod resolver;
mod slow;
mod statements;
mod storm;
mod visible;
