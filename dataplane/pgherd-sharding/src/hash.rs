//! The extended hash functions of the types' hash operator classes, and what partitions make of them.

use pgherd_types::{Collation, Kind, Numeric, Sign, Type, Value};

use crate::PlacementError;
use crate::lookup3::{combine, hash_bytes, hash_u32};

/// `HASH_PARTITION_SEED`
pub const HASH_SEED: u64 = 0x7A5B_2236_7996_DCFD;

/// Whether keys of a type can be hashed as Postgres does.
///
/// # Errors
/// When Postgres has no hash function for the type, or it depends on what differs between shards:
/// an enum's is over the OIDs of its labels.
pub fn check_hashable(data_type: &Type, collation: &Collation) -> Result<(), PlacementError> {
    match data_type.base().kind() {
        Kind::Text | Kind::Bpchar | Kind::Name if !collation.is_deterministic() => {
            Err(PlacementError::Nondeterministic)
        }
        Kind::Bool
        | Kind::Int2
        | Kind::Int4
        | Kind::Int8
        | Kind::Oid
        | Kind::Float4
        | Kind::Float8
        | Kind::Numeric
        | Kind::Text
        | Kind::Bpchar
        | Kind::Name
        | Kind::Char
        | Kind::Bytea
        | Kind::Uuid
        | Kind::Date
        | Kind::Time
        | Kind::TimeTz
        | Kind::Timestamp
        | Kind::TimestampTz
        | Kind::Interval
        | Kind::Inet
        | Kind::Cidr
        | Kind::Macaddr
        | Kind::Macaddr8
        | Kind::PgLsn
        | Kind::Xid8 => Ok(()),
        Kind::Enum(_) => Err(PlacementError::HashOfEnum { type_name: data_type.name().into() }),
        Kind::Xid
        | Kind::Money
        | Kind::Json
        | Kind::Jsonb
        | Kind::Xml
        | Kind::Bits
        | Kind::Tid
        | Kind::Point
        | Kind::Line
        | Kind::Lseg
        | Kind::Box
        | Kind::Path
        | Kind::Polygon
        | Kind::Circle
        | Kind::Array(..)
        | Kind::Range(..)
        | Kind::Multirange(_)
        | Kind::Composite(_)
        | Kind::Domain(_)
        | Kind::Opaque => Err(PlacementError::NotHashable { type_name: data_type.name().into() }),
    }
}

/// The type's extended hash function, such as `hashint8extended`; `None` for a value that
/// [`check_hashable`] did not let through.
pub fn hash_extended(data_type: &Type, value: &Value, seed: u64) -> Option<u64> {
    // Negative numbers keep their bits.
    let small = |number: i32| hash_u32(number as u32, seed);
    Some(match (data_type.base().kind(), value) {
        (_, Value::Bool(it)) => hash_u32(u32::from(*it), seed),
        (_, Value::Int2(it)) => small(i32::from(*it)),
        (_, Value::Int4(it) | Value::Date(it)) => small(*it),
        (_, Value::Int8(it) | Value::Time(it) | Value::Timestamp(it)) => hash_i64(*it, seed),
        (_, Value::Oid(it)) => hash_u32(*it, seed),
        (_, Value::Unsigned8(it)) => hash_i64(it.cast_signed(), seed),
        (_, Value::Float4(it)) => hash_float(f64::from(*it), seed),
        (_, Value::Float8(it)) => hash_float(*it, seed),
        (_, Value::Numeric(it)) => hash_numeric(it, seed),
        (Kind::Bpchar, Value::Text(it)) => {
            let kept = it.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
            hash_bytes(it.split_at(kept).0, seed)
        }
        (Kind::Text | Kind::Name, Value::Text(it)) | (_, Value::Bytea(it)) => hash_bytes(it, seed),
        // A C `char`, signed on the machines that pgherd knows Postgres on.
        (_, Value::Char(it)) => small(i32::from(it.cast_signed())),
        (_, Value::Uuid(it)) => hash_bytes(it, seed),
        (_, Value::TimeTz(micros, west)) => hash_i64(*micros, seed) ^ small(*west),
        // The low half of the span, as Postgres casts it.
        (_, Value::Interval(it)) => hash_i64(it.span() as i64, seed),
        (_, Value::Inet(it)) => hash_bytes(&it.stored(), seed),
        (_, Value::Macaddr(it)) => hash_bytes(it, seed),
        (_, Value::Macaddr8(it)) => hash_bytes(it, seed),
        _ => return None,
    })
}

/// What a row's partition is the remainder of, for a table partitioned by one column; NULL is 0.
pub fn partition_hash(data_type: &Type, value: Option<&Value>) -> Option<u64> {
    match value {
        None => Some(0),
        Some(value) => hash_extended(data_type, value, HASH_SEED).map(|hash| combine(0, hash)),
    }
}

/// `hashint8extended`: equal to those of the smaller types for equal numbers.
fn hash_i64(number: i64, seed: u64) -> u64 {
    let (low, high) = (number as u32, (number >> 32) as u32);
    hash_u32(low ^ if number >= 0 { high } else { !high }, seed)
}

/// `hashfloat8extended`
fn hash_float(number: f64, seed: u64) -> u64 {
    if number == 0.0 {
        return seed;
    }
    let number = if number.is_nan() { f64::NAN } else { number };
    hash_bytes(&number.to_le_bytes(), seed)
}

/// `hash_numeric_extended`
fn hash_numeric(number: &Numeric, seed: u64) -> u64 {
    if !matches!(number.sign(), Sign::Positive | Sign::Negative) {
        return seed;
    }
    if number.digits().is_empty() {
        return seed.wrapping_sub(1);
    }
    let bytes: Vec<u8> = number.digits().iter().flat_map(|digit| digit.to_le_bytes()).collect();
    // A C `int` widened with its sign.
    hash_bytes(&bytes, seed) ^ i64::from(number.weight()).cast_unsigned()
}
