//! The order of each type's btree, and of rows sorted by several columns.

use std::cmp::Ordering;

use crate::{
    Array, Bound, Collation, Collations, Field, Kind, Range, Type, TypeError, Value, float,
};

/// Compares values of one type. That it can is known when it is made: an error while comparing
/// means that a value is not of the type.
#[derive(Clone, Debug)]
pub struct Comparator(Order);

/// How the values of a kind are compared.
#[derive(Clone, Debug)]
enum Order {
    /// By the value alone.
    Plain,
    Text(Collation),
    /// Text without its trailing blanks.
    Padded(Collation),
    Jsonb(Collation),
    Array(Box<Order>),
    Range(Box<Order>),
    Multirange(Box<Order>),
    Record(Box<[Order]>),
}

// === impl Comparator ===

impl Comparator {
    /// The btree order of a type, under the collation of the expression that is compared.
    ///
    /// # Errors
    /// When the type has no order, or pgherd does not know it exactly.
    pub fn new(
        data_type: &Type,
        collation: &Collation,
        collations: &Collations,
    ) -> Result<Self, TypeError> {
        order(data_type, collation, collations).map(Self)
    }

    /// # Errors
    /// When the values are of another type than the comparator, or their order is not known.
    pub fn compare(&self, a: &Value, b: &Value) -> Result<Ordering, TypeError> {
        self.0.compare(a, b).ok_or_else(mismatch)
    }
}

fn order(
    data_type: &Type,
    collation: &Collation,
    collations: &Collations,
) -> Result<Order, TypeError> {
    let known = |collation: &Collation| match collation {
        Collation::Bytes => Ok(Collation::Bytes),
        Collation::Unknown { .. } => Err(collation.refusal()),
    };
    Ok(match data_type.kind() {
        Kind::Text | Kind::Name => Order::Text(known(collation)?),
        Kind::Bpchar => Order::Padded(known(collation)?),
        Kind::Jsonb => Order::Jsonb(known(&collations.get(0))?),
        Kind::Domain(base) => order(base, collation, collations)?,
        Kind::Array(element, _) => Order::Array(Box::new(order(element, collation, collations)?)),
        Kind::Range(subtype, own) => {
            Order::Range(Box::new(order(subtype, &collations.get(*own), collations)?))
        }
        Kind::Multirange(range) => match order(range, collation, collations)? {
            Order::Range(subtype) => Order::Multirange(subtype),
            _ => return Err(data_type.no_order()),
        },
        Kind::Composite(fields) => {
            let field = |field: &Field| {
                order(&field.data_type, &collations.get(field.collation), collations)
            };
            Order::Record(fields.iter().map(field).collect::<Result<_, _>>()?)
        }
        Kind::Json
        | Kind::Xml
        | Kind::Xid
        | Kind::Point
        | Kind::Line
        | Kind::Lseg
        | Kind::Box
        | Kind::Path
        | Kind::Polygon
        | Kind::Circle
        | Kind::Opaque => return Err(data_type.no_order()),
        Kind::Bool
        | Kind::Int2
        | Kind::Int4
        | Kind::Int8
        | Kind::Oid
        | Kind::Float4
        | Kind::Float8
        | Kind::Numeric
        | Kind::Money
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
        | Kind::Bits
        | Kind::PgLsn
        | Kind::Xid8
        | Kind::Tid
        | Kind::Enum(_) => Order::Plain,
    })
}

impl Order {
    /// `None` for values of another type: a small answer, since rows are merged by it.
    fn compare(&self, a: &Value, b: &Value) -> Option<Ordering> {
        match (self, a, b) {
            (Self::Plain, a, b) => compare_plain(a, b),
            (Self::Text(collation), Value::Text(a), Value::Text(b)) => collation.order(a, b),
            (Self::Padded(collation), Value::Text(a), Value::Text(b)) => {
                collation.order(without_padding(a), without_padding(b))
            }
            (Self::Jsonb(collation), Value::Jsonb(a), Value::Jsonb(b)) => a.compare(b, collation),
            (Self::Array(element), Value::Array(a), Value::Array(b)) => {
                element.compare_arrays(a, b)
            }
            (Self::Range(subtype), Value::Range(a), Value::Range(b)) => {
                subtype.compare_ranges(a, b)
            }
            (Self::Multirange(subtype), Value::Multirange(a), Value::Multirange(b)) => {
                for (a, b) in a.iter().zip(b) {
                    let order = subtype.compare_ranges(a, b)?;
                    if order.is_ne() {
                        return Some(order);
                    }
                }
                Some(a.len().cmp(&b.len()))
            }
            (Self::Record(fields), Value::Record(a), Value::Record(b)) => {
                for ((field, a), b) in fields.iter().zip(a).zip(b) {
                    let order = field.compare_nullable(a.as_ref(), b.as_ref())?;
                    if order.is_ne() {
                        return Some(order);
                    }
                }
                Some(Ordering::Equal)
            }
            _ => None,
        }
    }

    /// As within arrays and records: NULLs are equal and above everything.
    fn compare_nullable(&self, a: Option<&Value>, b: Option<&Value>) -> Option<Ordering> {
        match (a, b) {
            (Some(a), Some(b)) => self.compare(a, b),
            (a, b) => Some(a.is_none().cmp(&b.is_none())),
        }
    }

    /// `array_cmp`
    fn compare_arrays(&self, a: &Array, b: &Array) -> Option<Ordering> {
        for (a, b) in a.elements.iter().zip(&b.elements) {
            let order = self.compare_nullable(a.as_ref(), b.as_ref())?;
            if order.is_ne() {
                return Some(order);
            }
        }
        let lengths = |it: &Array| it.dimensions.iter().map(|it| it.length).collect::<Vec<_>>();
        let bounds = |it: &Array| it.dimensions.iter().map(|it| it.lower_bound).collect::<Vec<_>>();
        Some(
            a.elements
                .len()
                .cmp(&b.elements.len())
                .then_with(|| a.dimensions.len().cmp(&b.dimensions.len()))
                .then_with(|| lengths(a).cmp(&lengths(b)))
                .then_with(|| bounds(a).cmp(&bounds(b))),
        )
    }

    /// `range_cmp`
    fn compare_ranges(&self, a: &Range, b: &Range) -> Option<Ordering> {
        match (a, b) {
            (Range::Empty, Range::Empty) => Some(Ordering::Equal),
            (Range::Empty, _) => Some(Ordering::Less),
            (_, Range::Empty) => Some(Ordering::Greater),
            (Range::Between(a_lower, a_upper), Range::Between(b_lower, b_upper)) => {
                let lower = self.compare_bounds(a_lower, b_lower, Ordering::Less)?;
                if lower.is_ne() {
                    return Some(lower);
                }
                self.compare_bounds(a_upper, b_upper, Ordering::Greater)
            }
        }
    }

    /// `outwards` is the side on which an infinite bound lies: less for lower ones.
    fn compare_bounds(&self, a: &Bound, b: &Bound, outwards: Ordering) -> Option<Ordering> {
        let inclusive = |bound: &Bound| matches!(bound, Bound::Inclusive(_));
        Some(match (a, b) {
            (Bound::Infinite, Bound::Infinite) => Ordering::Equal,
            (Bound::Infinite, _) => outwards,
            (_, Bound::Infinite) => outwards.reverse(),
            (
                Bound::Inclusive(a_value) | Bound::Exclusive(a_value),
                Bound::Inclusive(b_value) | Bound::Exclusive(b_value),
            ) => match self.compare(a_value, b_value)? {
                Ordering::Equal => match (inclusive(a), inclusive(b)) {
                    (true, false) => outwards,
                    (false, true) => outwards.reverse(),
                    _ => Ordering::Equal,
                },
                order => order,
            },
        })
    }
}

/// Never seen as long as both values were decoded with the comparator's type.
fn mismatch() -> TypeError {
    TypeError::WrongValue { what: "a value of another type", type_name: "the comparison".into() }
}

fn compare_plain(a: &Value, b: &Value) -> Option<Ordering> {
    Some(match (a, b) {
        (Value::Int8(a), Value::Int8(b)) => a.cmp(b),
        (Value::Int4(a), Value::Int4(b)) => a.cmp(b),
        (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(b),
        (Value::Numeric(a), Value::Numeric(b)) => a.compare(b),
        (Value::Uuid(a), Value::Uuid(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int2(a), Value::Int2(b)) => a.cmp(b),
        (Value::Oid(a), Value::Oid(b)) => a.cmp(b),
        (Value::Float4(a), Value::Float4(b)) => float::compare(f64::from(*a), f64::from(*b)),
        (Value::Float8(a), Value::Float8(b)) => float::compare(*a, *b),
        (Value::Money(a), Value::Money(b)) => a.cmp(b),
        (Value::Char(a), Value::Char(b)) => a.cmp(b),
        (Value::Bytea(a), Value::Bytea(b)) => a.cmp(b),
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::TimeTz(a, a_west), Value::TimeTz(b, b_west)) => {
            let utc = |micros: i64, west: i32| i128::from(micros) + i128::from(west) * 1_000_000;
            utc(*a, *a_west).cmp(&utc(*b, *b_west)).then(a_west.cmp(b_west))
        }
        (Value::Interval(a), Value::Interval(b)) => a.compare(*b),
        (Value::Inet(a), Value::Inet(b)) => a.compare(b),
        (Value::Macaddr(a), Value::Macaddr(b)) => a.cmp(b),
        (Value::Macaddr8(a), Value::Macaddr8(b)) => a.cmp(b),
        (Value::Bits(a), Value::Bits(b)) => a.compare(b),
        (Value::Unsigned8(a), Value::Unsigned8(b)) => a.cmp(b),
        (Value::Tid(a, a_offset), Value::Tid(b, b_offset)) => (a, a_offset).cmp(&(b, b_offset)),
        (Value::Enum(a), Value::Enum(b)) => a.cmp(b),
        _ => return None,
    })
}

/// What of a `char(n)` counts.
pub(crate) fn without_padding(text: &[u8]) -> &[u8] {
    let kept = text.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
    text.split_at(kept).0
}

/// One item of `ORDER BY`.
#[derive(Clone, Debug)]
pub struct SortOrder {
    pub comparator: Comparator,
    /// `DESC`
    pub descending: bool,
    /// `NULLS FIRST`, by default with `DESC`.
    pub nulls_first: bool,
}

impl SortOrder {
    /// How two values of the item stand in the result.
    ///
    /// # Errors
    /// See [`Comparator::compare`].
    pub fn compare(&self, a: Option<&Value>, b: Option<&Value>) -> Result<Ordering, TypeError> {
        Ok(match (a, b) {
            (Some(a), Some(b)) => {
                let order = self.comparator.0.compare(a, b).ok_or_else(mismatch)?;
                if self.descending { order.reverse() } else { order }
            }
            (a, b) => {
                let order = a.is_none().cmp(&b.is_none());
                if self.nulls_first { order.reverse() } else { order }
            }
        })
    }
}
