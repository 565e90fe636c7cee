//! From a sharding key to its shard, the way Postgres finds a row's partition, without IO.
//!
//! A cluster's rules become [`Placement`]s once their columns' types are known: hash as `PARTITION
//! BY HASH (column)` with a modulus of the number of shards, list and range as `PARTITION BY LIST`
//! and `BY RANGE`. A table partitioned in Postgres by the same rule shows where each row is.

mod hash;
mod lookup3;
mod placement;
mod schema;

pub use hash::{HASH_SEED, check_hashable, hash_extended, partition_hash};
pub use placement::{Placement, PlacementError, Unplaced};
pub use schema::SchemaPlacement;
