//! Which instance statements go to, and what clients notice when instances fail.

mod failover;
mod failures;
mod overrides;
mod places;
mod settings;
mod stand;
