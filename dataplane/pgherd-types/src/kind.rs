//! What a type is: its OID, its name, and how its values are laid out.

use std::sync::Arc;

use crate::{TypeError, oid};

/// A type of the server; cheap to clone.
#[derive(Clone, Debug)]
pub struct Type(Arc<Definition>);

#[derive(Debug)]
struct Definition {
    oid: u32,
    name: Box<str>,
    kind: Kind,
}

/// How a type's values are laid out and compared.
#[derive(Clone, Debug)]
pub enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Xid,
    Float4,
    Float8,
    Numeric,
    Money,
    /// `text`, `varchar`.
    Text,
    /// `char(n)`: trailing blanks do not count.
    Bpchar,
    /// `name`: always compared under its own collation, `C` unless told otherwise.
    Name,
    /// `"char"`: one byte.
    Char,
    Bytea,
    Uuid,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    Json,
    Jsonb,
    /// `xml`: text without order.
    Xml,
    Inet,
    Cidr,
    Macaddr,
    Macaddr8,
    /// `bit`, `varbit`.
    Bits,
    PgLsn,
    Xid8,
    Tid,
    Point,
    Line,
    Lseg,
    Box,
    Path,
    Polygon,
    Circle,
    /// The element type and the character between elements.
    Array(Type, u8),
    /// The labels with their OIDs, in `enumsortorder`.
    Enum(Box<[(u32, Box<str>)]>),
    /// The subtype and its collation.
    Range(Type, u32),
    /// The range type.
    Multirange(Type),
    Composite(Box<[Field]>),
    Domain(Type),
    /// Passed through: pgherd does not know what the bytes mean.
    Opaque,
}

/// An attribute of a composite type.
#[derive(Clone, Debug)]
pub struct Field {
    /// `attname`
    pub name: Box<str>,
    /// `atttypid`
    pub data_type: Type,
    /// `attcollation`, 0 for none.
    pub collation: u32,
}

// === impl Type ===

impl Type {
    /// A type with this definition.
    pub fn new(oid: u32, name: &str, kind: Kind) -> Self {
        Self(Arc::new(Definition { oid, name: name.into(), kind }))
    }

    /// A type that every server has under this OID; arrays and ranges included.
    pub fn builtin(oid: u32) -> Option<Self> {
        let rows = oid::BUILTIN;
        if let Some((_, name, _)) = rows.iter().find(|(it, ..)| *it == oid) {
            return Some(Self::new(oid, name, builtin_kind(oid)?));
        }
        let (element, name, _) = rows.iter().find(|(.., array)| *array == oid && oid != 0)?;
        let delimiter = if *element == oid::BOX { b';' } else { b',' };
        let kind = Kind::Array(Self::builtin(*element)?, delimiter);
        Some(Self::new(oid, &format!("{name}[]"), kind))
    }

    /// A built-in type by a name of the manual's, in any case, with or without a length.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_lowercase();
        // `varchar(20)`, `timestamp(3) with time zone`
        let bare = match (name.find('('), name.find(')')) {
            (Some(open), Some(close)) if open < close => {
                let (head, tail) = name.split_at(open);
                format!("{}{}", head.trim_end(), tail.get(close + 1 - open..).unwrap_or_default())
            }
            _ => name,
        };
        let known = match bare.as_str() {
            "bool" => "boolean",
            "int8" | "bigserial" | "serial8" => "bigint",
            "int2" | "smallserial" | "serial2" => "smallint",
            "int" | "int4" | "serial" | "serial4" => "integer",
            "float4" => "real",
            "float8" | "float" => "double precision",
            "decimal" => "numeric",
            "varchar" => "character varying",
            "char" | "bpchar" => "character",
            "timestamp" => "timestamp without time zone",
            "timestamptz" => "timestamp with time zone",
            "time" => "time without time zone",
            "timetz" => "time with time zone",
            "varbit" => "bit varying",
            other => other,
        };
        let (oid, ..) = oid::BUILTIN.iter().find(|(_, name, _)| *name == known)?;
        Self::builtin(*oid)
    }

    /// `pg_type.oid`
    pub fn oid(&self) -> u32 {
        self.0.oid
    }

    /// As `format_type` gives it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How it is laid out.
    pub fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// The type under all domains.
    pub fn base(&self) -> &Type {
        match self.kind() {
            Kind::Domain(base) => base.base(),
            _ => self,
        }
    }

    pub(crate) fn malformed(&self, format: crate::Format) -> TypeError {
        TypeError::Malformed { type_name: self.name().into(), format }
    }

    pub(crate) fn no_order(&self) -> TypeError {
        TypeError::NoOrder { type_name: self.name().into() }
    }
}

fn builtin_kind(oid: u32) -> Option<Kind> {
    Some(match oid {
        oid::BOOL => Kind::Bool,
        oid::BYTEA => Kind::Bytea,
        oid::CHAR => Kind::Char,
        oid::NAME => Kind::Name,
        oid::INT8 => Kind::Int8,
        oid::INT2 => Kind::Int2,
        oid::INT4 => Kind::Int4,
        oid::TEXT | oid::VARCHAR | oid::CSTRING | oid::UNKNOWN => Kind::Text,
        oid::OID => Kind::Oid,
        oid::XID | oid::CID => Kind::Xid,
        oid::TID => Kind::Tid,
        oid::JSON => Kind::Json,
        oid::JSONB => Kind::Jsonb,
        oid::XML => Kind::Xml,
        oid::XID8 => Kind::Xid8,
        oid::POINT => Kind::Point,
        oid::LSEG => Kind::Lseg,
        oid::PATH => Kind::Path,
        oid::BOX => Kind::Box,
        oid::POLYGON => Kind::Polygon,
        oid::LINE => Kind::Line,
        oid::CIRCLE => Kind::Circle,
        oid::FLOAT4 => Kind::Float4,
        oid::FLOAT8 => Kind::Float8,
        oid::MONEY => Kind::Money,
        oid::MACADDR => Kind::Macaddr,
        oid::MACADDR8 => Kind::Macaddr8,
        oid::INET => Kind::Inet,
        oid::CIDR => Kind::Cidr,
        oid::BPCHAR => Kind::Bpchar,
        oid::DATE => Kind::Date,
        oid::TIME => Kind::Time,
        oid::TIMETZ => Kind::TimeTz,
        oid::TIMESTAMP => Kind::Timestamp,
        oid::TIMESTAMPTZ => Kind::TimestampTz,
        oid::INTERVAL => Kind::Interval,
        oid::BIT | oid::VARBIT => Kind::Bits,
        oid::NUMERIC => Kind::Numeric,
        oid::UUID => Kind::Uuid,
        oid::PG_LSN => Kind::PgLsn,
        oid::INT4RANGE => Kind::Range(Type::builtin(oid::INT4)?, 0),
        oid::NUMRANGE => Kind::Range(Type::builtin(oid::NUMERIC)?, 0),
        oid::TSRANGE => Kind::Range(Type::builtin(oid::TIMESTAMP)?, 0),
        oid::TSTZRANGE => Kind::Range(Type::builtin(oid::TIMESTAMPTZ)?, 0),
        oid::DATERANGE => Kind::Range(Type::builtin(oid::DATE)?, 0),
        oid::INT8RANGE => Kind::Range(Type::builtin(oid::INT8)?, 0),
        oid::INT4MULTIRANGE => Kind::Multirange(Type::builtin(oid::INT4RANGE)?),
        oid::NUMMULTIRANGE => Kind::Multirange(Type::builtin(oid::NUMRANGE)?),
        oid::TSMULTIRANGE => Kind::Multirange(Type::builtin(oid::TSRANGE)?),
        oid::TSTZMULTIRANGE => Kind::Multirange(Type::builtin(oid::TSTZRANGE)?),
        oid::DATEMULTIRANGE => Kind::Multirange(Type::builtin(oid::DATERANGE)?),
        oid::INT8MULTIRANGE => Kind::Multirange(Type::builtin(oid::INT8RANGE)?),
        _ => Kind::Opaque,
    })
}
