//! The proxy's side of the control-plane stream: topology comes in, statistics and health go out.
//!
//! [`Agent::run`] is one task. It belongs on a runtime that serves no clients, because it parses
//! snapshots of several megabytes and waits for the disk in place. The proxy gives it a
//! [`Proxy`] to hand things to and keeps an [`AgentHandle`] to say things through.
//!
//! A proxy never needs the control plane to serve: [`Agent::activate_cached`] starts it from the
//! last good snapshot on disk, and whatever happens on the stream only ever replaces one good
//! topology by another.

mod agent;
mod backoff;
mod bans;
mod cache;
mod config;
mod handle;
mod ledger;
mod session;

pub use agent::{Agent, Proxy, Rejection};
pub use cache::{Cache, CacheError, Stored};
pub use config::{AgentConfig, AgentError, Timing};
pub use handle::AgentHandle;
pub use pgherd_proto::v1::{
    BanSource, Failing, InstanceBan, InstanceRole, InstanceView, Peer, PoolStatistics, SnapshotId,
    Statistics,
};
