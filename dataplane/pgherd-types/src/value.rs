//! A value of any type, apart from the format it came in.

use bytes::Bytes;

use crate::{Format, Inet, Interval, Jsonb, Numeric};

/// A value that is not NULL. Text and bytes share the buffer they were read from.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    Int2(i16),
    Int4(i32),
    Int8(i64),
    /// `oid`, `xid`, `cid`.
    Oid(u32),
    Float4(f32),
    Float8(f64),
    Numeric(Numeric),
    /// Hundredths, as `money` holds them.
    Money(i64),
    /// Everything that is text: also `char(n)` with its padding, `name`, `json`, `xml`.
    Text(Bytes),
    Char(u8),
    Bytea(Bytes),
    Uuid([u8; 16]),
    /// Days since 2000-01-01; `i32::MAX` and `i32::MIN` are the infinities.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since midnight, and seconds west of Greenwich.
    TimeTz(i64, i32),
    /// Microseconds since 2000-01-01; `i64::MAX` and `i64::MIN` are the infinities. For
    /// `timestamptz` in UTC.
    Timestamp(i64),
    Interval(Interval),
    Jsonb(Box<Jsonb>),
    Inet(Inet),
    Macaddr([u8; 6]),
    Macaddr8([u8; 8]),
    Bits(Bits),
    /// `pg_lsn`, `xid8`.
    Unsigned8(u64),
    /// Block and offset.
    Tid(u32, u16),
    /// The numbers of a geometric value in the order of its text; for a path also whether it is
    /// closed.
    Geometry(Box<[f64]>, bool),
    /// The place of the label in the enum's order.
    Enum(u32),
    Array(Box<Array>),
    Range(Box<Range>),
    Multirange(Box<[Range]>),
    Record(Box<[Option<Value>]>),
    Opaque(Format, Bytes),
}

/// An array of any number of dimensions, 0 for `{}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub dimensions: Box<[Dimension]>,
    /// The last dimension varies fastest.
    pub elements: Vec<Option<Value>>,
}

/// How long one dimension of an array is, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimension {
    pub length: i32,
    pub lower_bound: i32,
}

/// A range of any subtype, in canonical form as servers send it.
#[derive(Clone, Debug, PartialEq)]
pub enum Range {
    Empty,
    Between(Bound, Bound),
}

/// One end of a range.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    Infinite,
    Inclusive(Value),
    Exclusive(Value),
}

/// A bit string; bits beyond its length are zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bits {
    pub length: usize,
    pub bytes: Box<[u8]>,
}
