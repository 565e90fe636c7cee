//! Why a value or a type cannot be dealt with.

use crate::Format;

/// What this crate refuses, with the type's name for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// The bytes are no value of the type.
    #[error("malformed {format} value of type {type_name}")]
    Malformed { type_name: Box<str>, format: Format },
    /// The text depends on settings in a way that cannot be read back.
    #[error("values of type {type_name} cannot be read under {setting}")]
    Unreadable { type_name: Box<str>, setting: &'static str },
    /// The value cannot be written in this format.
    #[error("values of type {type_name} cannot be written in {format} format")]
    Unwritable { type_name: Box<str>, format: Format },
    /// There is no order, or pgherd does not know it.
    #[error("values of type {type_name} cannot be compared")]
    NoOrder { type_name: Box<str> },
    /// The order of a collation is not known exactly.
    #[error("text cannot be compared under collation \"{collation}\": {reason}")]
    Collation { collation: Box<str>, reason: &'static str },
    /// The catalog has no such type.
    #[error("type with OID {oid} is not known")]
    UnknownType { oid: u32 },
    /// What Postgres itself says of such values.
    #[error("{message}")]
    Postgres { message: &'static str, sqlstate: &'static str },
    /// A value that an operation does not take.
    #[error("{what} cannot be combined with values of type {type_name}")]
    WrongValue { what: &'static str, type_name: Box<str> },
    /// An aggregate that is not known for the argument's type.
    #[error("{function}({arguments}) cannot be merged over shards")]
    NoMerge { function: Box<str>, arguments: Box<str> },
}

impl TypeError {
    /// The SQLSTATE that a client gets.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::Postgres { sqlstate, .. } => sqlstate,
            // The shards said something that no Postgres says.
            Self::Malformed { .. } | Self::WrongValue { .. } => "XX000",
            Self::Unreadable { .. }
            | Self::Unwritable { .. }
            | Self::NoOrder { .. }
            | Self::Collation { .. }
            | Self::UnknownType { .. }
            | Self::NoMerge { .. } => "0A000",
        }
    }
}
