//! The gRPC service for proxies, and what the control plane knows of them.
//!
//! [`Fleet`] keeps the newest topology in memory, so that proxies are served while the control
//! plane's own database is away.

mod authority;
mod convert;
mod delivery;
mod fleet;
mod outbox;
mod registry;
mod service;
mod snapshot;
mod status;
mod stream;

pub use authority::{Authority, Identity};
pub use fleet::{DatabaseState, Fleet, ForgetError};
pub use snapshot::Snapshot;
pub use status::{
    Held, InstanceHealth, Nack, PoolStatistics, ProxyState, ProxyStatistics, ProxyStatus,
    Statistics,
};
