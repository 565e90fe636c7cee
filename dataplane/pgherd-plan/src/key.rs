//! Values of the sharding key, as statements and parameters give them.

use crate::catalog::{Column, Table};

/// Where the value of a key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Text that the key's type reads.
    Text(String),
    /// A parameter: its number.
    Parameter(usize),
    /// A parameter that is an array of keys.
    Elements(usize),
}

/// A parameter's value as the client bound it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// Of the type that it was declared with or that the server inferred; 0 when not known, which
    /// makes it no key.
    pub type_oid: u32,
    /// `None` for NULL.
    pub value: Option<&'a [u8]>,
    pub binary: bool,
}

/// From a key to the shard that has its rows.
pub trait Placement {
    /// `None` when it cannot tell, which means all shards. The parameter's type is the column's, or
    /// another integer's for integers.
    fn shard(&self, table: &Table, column: &Column, key: &Parameter<'_>) -> Option<usize>;

    /// The shards of the elements of an array; `None` when it cannot tell.
    fn shards(&self, _: &Table, _: &Column, _: &Parameter<'_>) -> Option<Vec<usize>> {
        None
    }
}

const INT2: u32 = 21;
const INT4: u32 = 23;
const INT8: u32 = 20;
const TEXT: u32 = 25;
const VARCHAR: u32 = 1043;
const UUID: u32 = 2950;

/// Types of one family compare as their common values do, and text of one is text of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Integer,
    String,
    Other(u32),
}

pub fn family(type_oid: u32) -> Family {
    match type_oid {
        INT2 | INT4 | INT8 => Family::Integer,
        TEXT | VARCHAR => Family::String,
        other => Family::Other(other),
    }
}

/// Whether values of a column can name its shard: equality must mean the same value.
pub fn is_key_type(column: &Column) -> bool {
    let known = matches!(family(column.type_oid), Family::Integer | Family::String)
        || column.type_oid == UUID;
    known && column.deterministic
}

/// The shard of one key; `None` when it is not known, or it is an array.
pub fn shard_of(
    key: &Key,
    table: &Table,
    column: &Column,
    parameters: &[Parameter<'_>],
    placement: &dyn Placement,
) -> Option<usize> {
    match key {
        Key::Text(text) => {
            let value = Some(text.as_bytes());
            let key = Parameter { type_oid: column.type_oid, value, binary: false };
            placement.shard(table, column, &key)
        }
        Key::Parameter(number) => {
            let parameter = parameters.get(number.checked_sub(1)?)?;
            if family(parameter.type_oid) != family(column.type_oid) {
                return None;
            }
            // Nothing equals NULL; no rows are needed of any shard, but some shard must answer.
            parameter.value?;
            placement.shard(table, column, parameter)
        }
        Key::Elements(_) => None,
    }
}

/// The shards of a set of keys, sorted; `None` when they are not known.
pub fn shards_of(
    keys: &[Key],
    table: &Table,
    column: &Column,
    parameters: &[Parameter<'_>],
    placement: &dyn Placement,
) -> Option<Vec<usize>> {
    let mut shards = Vec::new();
    for key in keys {
        if let Key::Elements(number) = key {
            let parameter = parameters.get(number.checked_sub(1)?)?;
            shards.extend(placement.shards(table, column, parameter)?);
        } else {
            shards.push(shard_of(key, table, column, parameters, placement)?);
        }
    }
    shards.sort_unstable();
    shards.dedup();
    (!shards.is_empty()).then_some(shards)
}
