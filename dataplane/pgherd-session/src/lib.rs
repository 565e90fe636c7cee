//! One client connection, from its first packet to its last.
//!
//! [`serve`] takes a fresh socket through [`login`] and then relays between the client and server
//! connections that it checks out for as long as the pool mode says. The relay ([`relay`]) looks
//! at headers, keeps the books of what is owed, and forwards bytes where they lie.

mod admin;
mod buffer;
mod cancel;
mod checkout;
mod clients;
mod direction;
mod end;
mod login;
mod mentions;
mod outbox;
mod prepared;
mod relay;
mod salvage;
mod session;
mod shared;
mod sql_names;

pub use admin::{AdminConsole, AdminReply, Table};
pub use buffer::BufferPool;
pub use clients::{ClientEntry, ClientRegistry, ClientState, MAX_PROXY_NUMBER};
pub use session::serve;
pub use shared::{Limits, Peer, Phase, Shared, Worker};
