//! PostgreSQL's values, text and binary: read, written, compared, grouped and added, without IO.
//!
//! A [`Type`] comes from the server's catalog ([`catalog`]) or is built in; it reads a [`Value`]
//! from either format and writes it in either. [`Comparator`] orders values as a btree does,
//! [`Type::group_key`] says which are equal, and [`aggregate`] makes one result of those of many
//! shards. What this crate does not know exactly it refuses with a [`TypeError`] that names the
//! type: an order or a sum that is only nearly Postgres's own is a wrong answer.

pub mod aggregate;
pub mod catalog;
pub mod collation;
pub mod merge;
pub mod oid;

mod binary;
mod bits;
mod calendar;
mod compare;
mod container;
mod decode;
mod encode;
mod error;
mod float;
mod geometry;
mod group_key;
mod interval;
mod jsonb;
mod kind;
mod money;
mod network;
mod numeric;
mod settings;
mod text;
mod value;
mod zone;

pub use collation::{Collation, CollationFacts, Collations, TextOrder};
pub use compare::{Comparator, SortOrder};
pub use error::TypeError;
pub use interval::Interval;
pub use jsonb::Jsonb;
pub use kind::{Field, Kind, Type};
pub use network::Inet;
pub use numeric::{Numeric, Sign};
pub use settings::{ByteaOutput, DateOrder, DateStyle, Format, IntervalStyle, Settings};
pub use value::{Array, Bits, Bound, Dimension, Range, Value};
