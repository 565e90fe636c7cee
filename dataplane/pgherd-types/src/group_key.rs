//! Bytes that are equal exactly when values are: what GROUP BY and DISTINCT go by.

use crate::compare::without_padding;
use crate::{
    Bound, Collation, Collations, Jsonb, Kind, Numeric, Range, Sign, Type, TypeError, Value, float,
};

impl Type {
    /// Whether [`Self::group_key`] can serve, under the collation of the expression.
    ///
    /// # Errors
    /// When the type has no equality, or pgherd does not know it exactly.
    pub fn check_groupable(
        &self,
        collation: &Collation,
        collations: &Collations,
    ) -> Result<(), TypeError> {
        let text = |collation: &Collation| {
            if collation.is_deterministic() { Ok(()) } else { Err(collation.refusal()) }
        };
        match self.kind() {
            Kind::Text | Kind::Bpchar | Kind::Name => text(collation),
            Kind::Jsonb => text(&collations.get(0)),
            Kind::Domain(base) => base.check_groupable(collation, collations),
            Kind::Array(element, _) => element.check_groupable(collation, collations),
            Kind::Range(subtype, own) => subtype.check_groupable(&collations.get(*own), collations),
            Kind::Multirange(range) => range.check_groupable(collation, collations),
            Kind::Composite(fields) => fields.iter().try_for_each(|field| {
                field.data_type.check_groupable(&collations.get(field.collation), collations)
            }),
            Kind::Json
            | Kind::Xml
            | Kind::Point
            | Kind::Line
            | Kind::Lseg
            | Kind::Box
            | Kind::Path
            | Kind::Polygon
            | Kind::Circle
            | Kind::Opaque => Err(self.no_order()),
            _ => Ok(()),
        }
    }

    /// Appends the key of a value; keys of several columns can follow one another.
    ///
    /// # Errors
    /// When the value is not of the type, or the type has no equality.
    pub fn group_key(&self, value: Option<&Value>, out: &mut Vec<u8>) -> Result<(), TypeError> {
        let Some(value) = value else {
            out.push(0);
            return Ok(());
        };
        out.push(1);
        self.key(value, out)
    }

    fn key(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), TypeError> {
        match (self.kind(), value) {
            (Kind::Domain(base), value) => return base.key(value, out),
            (Kind::Bpchar, Value::Text(it)) => push_sized(without_padding(it), out),
            (Kind::Text | Kind::Name, Value::Text(it)) => push_sized(it, out),
            (_, Value::Bytea(it)) => push_sized(it, out),
            (_, Value::Float4(it)) => {
                out.extend(float::canonical_bits(f64::from(*it)).to_be_bytes());
            }
            (_, Value::Float8(it)) => out.extend(float::canonical_bits(*it).to_be_bytes()),
            (_, Value::Numeric(it)) => push_numeric(it, out),
            (_, Value::Interval(it)) => out.extend(it.span().to_be_bytes()),
            (_, Value::Jsonb(it)) => push_jsonb(it, out),
            (_, Value::Bits(it)) => {
                out.extend((it.length as u64).to_be_bytes());
                out.extend_from_slice(&it.bytes);
            }
            (_, Value::Inet(it)) => out.extend(it.stored()),
            (_, Value::Enum(it)) => out.extend(it.to_be_bytes()),
            (Kind::Array(element, _), Value::Array(array)) => {
                out.extend((array.dimensions.len() as u64).to_be_bytes());
                for dimension in &array.dimensions {
                    out.extend(dimension.length.to_be_bytes());
                    out.extend(dimension.lower_bound.to_be_bytes());
                }
                for it in &array.elements {
                    element.group_key(it.as_ref(), out)?;
                }
            }
            (Kind::Range(subtype, _), Value::Range(range)) => push_range(subtype, range, out)?,
            (Kind::Multirange(range), Value::Multirange(ranges)) => {
                let Kind::Range(subtype, _) = range.kind() else { return Err(self.no_order()) };
                out.extend((ranges.len() as u64).to_be_bytes());
                ranges.iter().try_for_each(|range| push_range(subtype, range, out))?;
            }
            (Kind::Composite(fields), Value::Record(values)) => {
                for (field, value) in fields.iter().zip(values) {
                    field.data_type.group_key(value.as_ref(), out)?;
                }
            }
            (
                _,
                Value::Bool(_)
                | Value::Int2(_)
                | Value::Int4(_)
                | Value::Int8(_)
                | Value::Oid(_)
                | Value::Money(_)
                | Value::Char(_)
                | Value::Uuid(_)
                | Value::Date(_)
                | Value::Time(_)
                | Value::TimeTz(..)
                | Value::Timestamp(_)
                | Value::Macaddr(_)
                | Value::Macaddr8(_)
                | Value::Unsigned8(_)
                | Value::Tid(..),
            ) => return self.encode(crate::Format::Binary, value, &Default::default(), out),
            _ => return Err(self.no_order()),
        }
        Ok(())
    }
}

fn push_sized(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend((bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn push_numeric(number: &Numeric, out: &mut Vec<u8>) {
    // Without the display scale.
    out.push(match number.sign() {
        Sign::Positive => 0,
        Sign::Negative => 1,
        Sign::NaN => 2,
        Sign::Infinity => 3,
        Sign::NegativeInfinity => 4,
    });
    out.extend(number.weight().to_be_bytes());
    out.extend((number.digits().len() as u64).to_be_bytes());
    out.extend(number.digits().iter().flat_map(|digit| digit.to_be_bytes()));
}

fn push_jsonb(value: &Jsonb, out: &mut Vec<u8>) {
    match value {
        Jsonb::Null => out.push(0),
        Jsonb::String(text) => {
            out.push(1);
            push_sized(text, out);
        }
        Jsonb::Number(number) => {
            out.push(2);
            push_numeric(number, out);
        }
        Jsonb::Bool(it) => out.extend([3, u8::from(*it)]),
        Jsonb::Array(elements) => {
            out.push(4);
            out.extend((elements.len() as u64).to_be_bytes());
            elements.iter().for_each(|element| push_jsonb(element, out));
        }
        Jsonb::Object(pairs) => {
            out.push(5);
            out.extend((pairs.len() as u64).to_be_bytes());
            for (key, value) in pairs {
                push_sized(key, out);
                push_jsonb(value, out);
            }
        }
    }
}

fn push_range(subtype: &Type, range: &Range, out: &mut Vec<u8>) -> Result<(), TypeError> {
    let Range::Between(lower, upper) = range else {
        out.push(0);
        return Ok(());
    };
    out.push(1);
    for bound in [lower, upper] {
        match bound {
            Bound::Infinite => out.push(0),
            Bound::Inclusive(value) => {
                out.push(1);
                subtype.key(value, out)?;
            }
            Bound::Exclusive(value) => {
                out.push(2);
                subtype.key(value, out)?;
            }
        }
    }
    Ok(())
}
