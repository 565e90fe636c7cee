//! The control plane's database: one file of queries per entity.
//!
//! Queries are checked at run time, so that building needs no database. Everything that changes
//! the topology goes through [`change`], one transaction for each revision.

mod audit;
mod bans;
pub mod change;
mod current;
mod error;
mod fleet_state;
mod listen;
mod proxies;
mod revisions;
mod sealed;
mod store;
mod tokens;
mod vault;

pub use audit::{AuditEntry, NewAuditEntry};
pub use bans::{BanRow, NewBan};
pub use current::{Current, StoredCluster};
pub use error::{StoreError, StoreErrorKind};
pub use fleet_state::FleetState;
pub use listen::{Heard, Listener};
pub use proxies::{NackRecord, ProxyHello, ProxyRow};
pub use revisions::{Action, Revision, RevisionDocument};
pub use store::{OpenError, Store};
pub use tokens::{BootstrapTokens, CreatedToken, Role, RoleUnknown, TokenRow, hash_token};
pub use vault::{KeyError, SecretKey, UnsealError};
