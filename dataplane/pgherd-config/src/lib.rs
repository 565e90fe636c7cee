//! Every setting of pgherd as a type, with its default, its validation and its documentation.
//!
//! A proxy takes the same [`Topology`] from its file or from the control plane; both run the
//! same validation, so that what one accepts the other does too.

mod document;
mod duration;
mod effective;
mod evidence;
mod file;
mod health;
mod proxy;
#[cfg(test)]
mod reference;
mod secret;
mod shape;
mod sharding;
mod size;
mod snapshot;
mod tls;
mod topology;
mod validate;

pub use duration::{Period, PeriodError};
pub use effective::{ClientTimeouts, Listen};
pub use evidence::EvidenceClass;
pub use file::{ConfigError, ConfigErrors, ConfigProblem};
pub use health::TcpSettings;
pub use proxy::{Admin, AdminUser, Metrics, Proxy, ProxyFile, Telemetry};
pub use secret::Secret;
pub use shape::Deviation;
pub use sharding::{
    KeyProblem, KeyRange, KeyText, KeyedShard, ListKeys, RangeKeys, ShardedSchema, ShardedTable,
    ShardingAlgorithm,
};
pub use size::{ByteSize, SizeError};
pub use tls::{ClientTls, ClientTlsMode, ServerTls, ServerTlsMode, is_pem};
pub use topology::{
    Cluster, Instance, InstanceRole, LoadBalancing, PoolMode, Reads, Shard, Topology, User,
};
pub use validate::{Invalid, Warning, limits};
