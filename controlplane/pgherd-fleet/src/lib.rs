//! The gRPC service for proxies, and what the control plane knows of them.
//!
//! [`Fleet`] keeps the newest topology in memory, so that proxies are served while the control
//! plane's own database is away.

mod authority;
mod bans;
mod convert;
mod delivery;
mod fleet;
mod instances;
mod outbox;
mod registry;
mod service;
mod snapshot;
mod status;
mod stream;

pub use authority::{Authority, Identity};
pub use bans::{BanCounts, BanEntry, BanList, BanPlace, BanSource, Evidence};
pub use fleet::{DatabaseState, Fleet, ForgetError};
pub use instances::{InstanceStatus, Role as InstanceRole};
pub use snapshot::Snapshot;
pub use status::{
    Held, InstanceHealth, Nack, PoolStatistics, ProxyState, ProxyStatistics, ProxyStatus,
    Statistics,
};
