//! Sessions over several shards: a coordinator that terminates the protocol and speaks for all.
//!
//! A client of a cluster with one shard is relayed and never comes here. Here its messages are
//! read, planned by `pgherd-plan`, and answered from [`branch`]es: leases of the pools of shards.
//! What the client sees is what one Postgres with all rows would say, or an error `0A000`.

mod bind;
mod branch;
mod branches;
mod catalog;
mod commit;
mod coordinator;
mod copy;
mod cursors;
mod deadlocks;
mod encoding;
mod execute;
mod explain;
mod extended;
mod failure;
mod front;
mod function_call;
mod malformed;
mod normal;
mod oids;
mod orders;
mod overrides;
mod own_schemas;
mod places;
mod portals;
mod prepared;
mod presence;
mod reads;
mod search_path;
mod set_config;
mod settings;
mod shapes;
mod simple;
mod sites;
mod texts;
mod transaction;
mod unique_ids;
mod verb;
mod wishes;

pub(crate) use catalog::Catalogs;
pub use commit::{Commits, Tally, settle_transactions};
pub(crate) use coordinator::serve;
pub use deadlocks::Deadlocks;
pub(crate) use texts::Texts;
