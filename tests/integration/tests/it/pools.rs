//! Pools: limits, growth, fairness, refusals, reload and what the counters say of it.

mod growth;
mod limits;
mod reload;
mod servers;
mod stand;
mod statement_mode;
mod thousand;
mod timeouts;
