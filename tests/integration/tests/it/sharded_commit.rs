//! Transactions over several shards: whole or not there at all, whatever dies at which step.

mod bank;
mod faults;
mod locks;
mod refusals;
mod resolver;
mod slow;
mod statements;
mod visible;
