//! One client connection, from its first packet to its last.
//!
//! [`serve`] takes a fresh socket through [`login`] and then relays between the client and server
//! connections that it checks out for as long as the pool mode says. The relay ([`relay`]) looks
//! at headers, keeps the books of what is owed, and forwards bytes where they lie.

mod admin;
mod admission;
mod blank;
mod buffer;
mod cancel;
mod checkout;
mod clients;
mod direction;
mod end;
mod exchange;
#[doc(hidden)]
pub mod fuzzing;
mod login;
mod mentions;
mod migrant;
mod outbox;
mod patience;
mod pins;
mod prepared;
mod relay;
mod replication;
mod routing;
mod salvage;
mod session;
mod setting_names;
mod settle;
mod sharded;
mod shared;
mod sql_names;
mod statement_mode;
mod timeouts;
mod timing;

pub use admin::{AdminConsole, AdminReply, Table};
pub use admission::Admissions;
pub use buffer::BufferPool;
pub use clients::{ClientEntry, ClientRegistry, ClientState, MAX_PROXY_NUMBER};
pub use migrant::Migrant;
pub use pins::Pins;
pub use session::{resume, serve};
pub use sharded::{Commits, Deadlocks, Tally, settle_transactions};
pub use shared::{Limits, Peer, Phase, Shared, Worker};
pub use timeouts::{Watches, sweep};
