//! Which instance statements go to, and what clients notice when instances fail.

mod failover;
mod failures;
mod lag;
mod overrides;
mod places;
mod refused;
mod serializable;
mod settings;
mod stand;
