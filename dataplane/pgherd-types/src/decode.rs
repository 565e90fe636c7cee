//! From the bytes of either format to a value.

use bytes::Bytes;

use crate::binary::{Cursor, exactly};
use crate::{
    Array, Bits, Bound, Dimension, Format, Inet, Interval, IntervalStyle, Jsonb, Kind, Numeric,
    Range, Settings, Type, TypeError, Value, calendar, container, float, geometry, money, network,
    settings::DateStyle, text,
};

impl Type {
    /// Reads a value that is not NULL. Text and bytes keep sharing `raw`.
    ///
    /// # Errors
    /// When the bytes are no value of the type, or their text depends on settings that hide part
    /// of it.
    pub fn decode(
        &self,
        format: Format,
        raw: &Bytes,
        settings: &Settings,
    ) -> Result<Value, TypeError> {
        match format {
            Format::Text => self.decode_text(raw, settings),
            Format::Binary => self.decode_binary(raw),
        }
    }

    fn decode_text(&self, raw: &Bytes, settings: &Settings) -> Result<Value, TypeError> {
        self.refuse_unreadable(settings)?;
        let malformed = || self.malformed(Format::Text);
        match self.kind() {
            Kind::Domain(base) => base.decode_text(raw, settings),
            Kind::Array(element, delimiter) => {
                let (dimensions, parts) =
                    container::split_array(raw, *delimiter).ok_or_else(malformed)?;
                let read = |part: Option<Bytes>| {
                    part.map(|part| element.decode_text(&part, settings)).transpose()
                };
                let elements = parts.into_iter().map(read).collect::<Result<_, _>>()?;
                Ok(Value::Array(Box::new(Array { dimensions: dimensions.into(), elements })))
            }
            Kind::Range(subtype, _) => {
                let range = self.range_text(subtype, raw, settings)?;
                Ok(Value::Range(Box::new(range)))
            }
            Kind::Multirange(range) => self.multirange_text(range, raw, settings),
            Kind::Composite(_) => self.composite_text(raw, settings),
            _ => self.scalar_text(raw, settings).ok_or_else(malformed),
        }
    }

    /// What the settings hide cannot be read back.
    fn refuse_unreadable(&self, settings: &Settings) -> Result<(), TypeError> {
        let setting = match self.kind() {
            // Abbreviations of time zones are ambiguous.
            Kind::TimestampTz if settings.date_style != DateStyle::Iso => "this DateStyle",
            Kind::Interval if settings.interval_style != IntervalStyle::Postgres => {
                "this IntervalStyle"
            }
            Kind::Money if !settings.monetary_c => "this lc_monetary",
            _ => return Ok(()),
        };
        Err(TypeError::Unreadable { type_name: self.name().into(), setting })
    }

    fn scalar_text(&self, raw: &Bytes, settings: &Settings) -> Option<Value> {
        let integer = || text::integer(raw);
        Some(match self.kind() {
            Kind::Bool => match raw.as_ref() {
                b"t" | b"true" => Value::Bool(true),
                b"f" | b"false" => Value::Bool(false),
                _ => return None,
            },
            Kind::Int2 => Value::Int2(integer()?.try_into().ok()?),
            Kind::Int4 => Value::Int4(integer()?.try_into().ok()?),
            Kind::Int8 => Value::Int8(integer()?.try_into().ok()?),
            Kind::Oid | Kind::Xid => Value::Oid(integer()?.try_into().ok()?),
            Kind::Xid8 => Value::Unsigned8(integer()?.try_into().ok()?),
            Kind::PgLsn => Value::Unsigned8(text::lsn_from_text(raw)?),
            Kind::Float4 => Value::Float4(float::parse_single(raw)?),
            Kind::Float8 => Value::Float8(float::parse(raw)?),
            Kind::Numeric => Value::Numeric(Numeric::from_text(raw)?),
            Kind::Money => Value::Money(money::from_text(raw)?),
            Kind::Text | Kind::Bpchar | Kind::Name | Kind::Json | Kind::Xml => {
                Value::Text(raw.clone())
            }
            Kind::Char => Value::Char(text::char_from_text(raw)?),
            Kind::Bytea => Value::Bytea(text::bytea_from_text(raw)?),
            Kind::Uuid => Value::Uuid(text::uuid_from_text(raw)?),
            Kind::Date => Value::Date(calendar::read_date(raw, settings)?),
            Kind::Time => {
                let mut scanner = calendar::Scanner(raw);
                let time = scanner.time()?;
                scanner.end()?;
                Value::Time(time)
            }
            Kind::TimeTz => {
                let mut scanner = calendar::Scanner(raw);
                let (time, east) = (scanner.time()?, scanner.offset()?);
                scanner.end()?;
                Value::TimeTz(time, -east)
            }
            Kind::Timestamp => Value::Timestamp(calendar::read_timestamp(raw, false, settings)?),
            Kind::TimestampTz => Value::Timestamp(calendar::read_timestamp(raw, true, settings)?),
            Kind::Interval => Value::Interval(Interval::from_text(raw)?),
            Kind::Jsonb => Value::Jsonb(Box::new(Jsonb::from_text(raw)?)),
            Kind::Inet | Kind::Cidr => Value::Inet(Inet::from_text(raw)?),
            Kind::Macaddr => Value::Macaddr(network::mac_from_text(raw)?),
            Kind::Macaddr8 => Value::Macaddr8(network::mac_from_text(raw)?),
            Kind::Bits => Value::Bits(Bits::from_text(raw)?),
            Kind::Tid => text::tid_from_text(raw)?,
            Kind::Enum(labels) => enum_value(labels, raw)?,
            kind @ (Kind::Point
            | Kind::Line
            | Kind::Lseg
            | Kind::Box
            | Kind::Path
            | Kind::Polygon
            | Kind::Circle) => geometry::from_text(kind, raw)?,
            Kind::Opaque => Value::Opaque(Format::Text, raw.clone()),
            // Taken by the caller.
            Kind::Array(..)
            | Kind::Range(..)
            | Kind::Multirange(_)
            | Kind::Composite(_)
            | Kind::Domain(_) => return None,
        })
    }

    fn range_text(
        &self,
        subtype: &Type,
        raw: &Bytes,
        settings: &Settings,
    ) -> Result<Range, TypeError> {
        let malformed = || self.malformed(Format::Text);
        if raw.as_ref() == b"empty" {
            return Ok(Range::Empty);
        }
        let mut walker = container::Walker::new(raw);
        let lower_inclusive = walker.eat(b'[');
        if !lower_inclusive && !walker.eat(b'(') {
            return Err(malformed());
        }
        let lower = walker.part(b",").ok_or_else(malformed)?;
        walker.eat(b',');
        let upper = walker.part(b")]").ok_or_else(malformed)?;
        let upper_inclusive = walker.eat(b']');
        if !(upper_inclusive || walker.eat(b')')) || !walker.at_end() {
            return Err(malformed());
        }
        let bound = |part: container::Part, inclusive| {
            if part.text.is_empty() && !part.quoted {
                return Ok(Bound::Infinite);
            }
            let value = subtype.decode_text(&part.text, settings)?;
            Ok(if inclusive { Bound::Inclusive(value) } else { Bound::Exclusive(value) })
        };
        Ok(Range::Between(bound(lower, lower_inclusive)?, bound(upper, upper_inclusive)?))
    }

    fn multirange_text(
        &self,
        range: &Type,
        raw: &Bytes,
        settings: &Settings,
    ) -> Result<Value, TypeError> {
        let malformed = || self.malformed(Format::Text);
        let Kind::Range(subtype, _) = range.kind() else { return Err(malformed()) };
        let mut walker = container::Walker::new(raw);
        if !walker.eat(b'{') {
            return Err(malformed());
        }
        let mut ranges = Vec::new();
        while !walker.eat(b'}') {
            if !ranges.is_empty() && !walker.eat(b',') {
                return Err(malformed());
            }
            let part = walker.range().ok_or_else(malformed)?;
            ranges.push(range.range_text(subtype, &part, settings)?);
        }
        if !walker.at_end() {
            return Err(malformed());
        }
        Ok(Value::Multirange(ranges.into()))
    }

    fn composite_text(&self, raw: &Bytes, settings: &Settings) -> Result<Value, TypeError> {
        let malformed = || self.malformed(Format::Text);
        let Kind::Composite(fields) = self.kind() else { return Err(malformed()) };
        let mut walker = container::Walker::new(raw);
        if !walker.eat(b'(') {
            return Err(malformed());
        }
        let mut values = Vec::with_capacity(fields.len());
        for (place, field) in fields.iter().enumerate() {
            if place > 0 && !walker.eat(b',') {
                return Err(malformed());
            }
            let part = walker.part(b",)").ok_or_else(malformed)?;
            let is_null = part.text.is_empty() && !part.quoted;
            let value = (!is_null)
                .then(|| field.data_type.decode_text(&part.text, settings))
                .transpose()?;
            values.push(value);
        }
        if !walker.eat(b')') || !walker.at_end() {
            return Err(malformed());
        }
        Ok(Value::Record(values.into()))
    }

    fn decode_binary(&self, raw: &Bytes) -> Result<Value, TypeError> {
        let malformed = || self.malformed(Format::Binary);
        match self.kind() {
            Kind::Domain(base) => base.decode_binary(raw),
            Kind::Array(element, _) => self.array_binary(element, raw),
            Kind::Range(subtype, _) => Ok(Value::Range(Box::new(self.range_binary(subtype, raw)?))),
            Kind::Multirange(range) => {
                let Kind::Range(subtype, _) = range.kind() else { return Err(malformed()) };
                let mut cursor = Cursor(raw);
                let count = cursor.i32().ok_or_else(malformed)?;
                let mut ranges = Vec::new();
                for _ in 0..count {
                    let part = cursor.sized().flatten().ok_or_else(malformed)?;
                    ranges.push(range.range_binary(subtype, &raw.slice_ref(part))?);
                }
                Ok(Value::Multirange(ranges.into()))
            }
            Kind::Composite(fields) => {
                let mut cursor = Cursor(raw);
                let count = cursor.i32().and_then(|count| usize::try_from(count).ok());
                if count != Some(fields.len()) {
                    return Err(malformed());
                }
                let values = fields.iter().map(|field| {
                    cursor.u32().ok_or_else(malformed)?;
                    let part = cursor.sized().ok_or_else(malformed)?;
                    part.map(|part| field.data_type.decode_binary(&raw.slice_ref(part))).transpose()
                });
                Ok(Value::Record(values.collect::<Result<_, _>>()?))
            }
            _ => self.scalar_binary(raw).ok_or_else(malformed),
        }
    }

    fn scalar_binary(&self, raw: &Bytes) -> Option<Value> {
        Some(match self.kind() {
            Kind::Bool => match raw.as_ref() {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => return None,
            },
            Kind::Int2 => Value::Int2(i16::from_be_bytes(exactly(raw)?)),
            Kind::Int4 => Value::Int4(i32::from_be_bytes(exactly(raw)?)),
            Kind::Int8 => Value::Int8(i64::from_be_bytes(exactly(raw)?)),
            Kind::Oid | Kind::Xid => Value::Oid(u32::from_be_bytes(exactly(raw)?)),
            Kind::Xid8 | Kind::PgLsn => Value::Unsigned8(u64::from_be_bytes(exactly(raw)?)),
            Kind::Float4 => Value::Float4(f32::from_be_bytes(exactly(raw)?)),
            Kind::Float8 => Value::Float8(f64::from_be_bytes(exactly(raw)?)),
            Kind::Numeric => Value::Numeric(Numeric::from_binary(raw)?),
            Kind::Money => Value::Money(i64::from_be_bytes(exactly(raw)?)),
            Kind::Text | Kind::Bpchar | Kind::Name | Kind::Json | Kind::Xml => {
                Value::Text(raw.clone())
            }
            Kind::Char => Value::Char(u8::from_be_bytes(exactly(raw)?)),
            Kind::Bytea => Value::Bytea(raw.clone()),
            Kind::Uuid => Value::Uuid(exactly(raw)?),
            Kind::Date => Value::Date(i32::from_be_bytes(exactly(raw)?)),
            Kind::Time => Value::Time(i64::from_be_bytes(exactly(raw)?)),
            Kind::TimeTz => {
                let mut cursor = Cursor(raw);
                let (micros, west) = (cursor.i64()?, cursor.i32()?);
                cursor.is_empty().then_some(Value::TimeTz(micros, west))?
            }
            Kind::Timestamp | Kind::TimestampTz => {
                Value::Timestamp(i64::from_be_bytes(exactly(raw)?))
            }
            Kind::Interval => Value::Interval(Interval::from_binary(raw)?),
            Kind::Jsonb => {
                let text = raw.strip_prefix(&[1])?;
                Value::Jsonb(Box::new(Jsonb::from_text(text)?))
            }
            Kind::Inet | Kind::Cidr => Value::Inet(Inet::from_binary(raw)?),
            Kind::Macaddr => Value::Macaddr(exactly(raw)?),
            Kind::Macaddr8 => Value::Macaddr8(exactly(raw)?),
            Kind::Bits => Value::Bits(Bits::from_binary(raw)?),
            Kind::Tid => {
                let mut cursor = Cursor(raw);
                let (block, offset) = (cursor.u32()?, cursor.u16()?);
                cursor.is_empty().then_some(Value::Tid(block, offset))?
            }
            Kind::Enum(labels) => enum_value(labels, raw)?,
            kind @ (Kind::Point
            | Kind::Line
            | Kind::Lseg
            | Kind::Box
            | Kind::Path
            | Kind::Polygon
            | Kind::Circle) => geometry::from_binary(kind, raw)?,
            Kind::Opaque => Value::Opaque(Format::Binary, raw.clone()),
            // Taken by the caller.
            Kind::Array(..)
            | Kind::Range(..)
            | Kind::Multirange(_)
            | Kind::Composite(_)
            | Kind::Domain(_) => return None,
        })
    }

    fn array_binary(&self, element: &Type, raw: &Bytes) -> Result<Value, TypeError> {
        let malformed = || self.malformed(Format::Binary);
        let mut cursor = Cursor(raw);
        let mut header = || Some((cursor.i32()?, cursor.i32()?, cursor.u32()?));
        let (count, _has_nulls, _element_oid) = header().ok_or_else(malformed)?;
        if !(0..=6).contains(&count) {
            return Err(malformed());
        }
        let mut dimensions = Vec::new();
        let mut total = usize::from(count > 0);
        for _ in 0..count {
            let mut pair = || Some((cursor.i32()?, cursor.i32()?));
            let (length, lower_bound) = pair().ok_or_else(malformed)?;
            let factor = usize::try_from(length).ok().ok_or_else(malformed)?;
            total = total.checked_mul(factor).ok_or_else(malformed)?;
            dimensions.push(Dimension { length, lower_bound });
        }
        // Each element has at least its length: no more are read than there are bytes.
        if total > cursor.0.len() / 4 {
            return Err(malformed());
        }
        let mut elements = Vec::with_capacity(total);
        for _ in 0..total {
            let part = cursor.sized().ok_or_else(malformed)?;
            let value = part.map(|part| element.decode_binary(&raw.slice_ref(part))).transpose()?;
            elements.push(value);
        }
        Ok(Value::Array(Box::new(Array { dimensions: dimensions.into(), elements })))
    }

    fn range_binary(&self, subtype: &Type, raw: &Bytes) -> Result<Range, TypeError> {
        let malformed = || self.malformed(Format::Binary);
        let mut cursor = Cursor(raw);
        let flags = cursor.u8().ok_or_else(malformed)?;
        if flags & 0x01 != 0 {
            return Ok(Range::Empty);
        }
        let mut bound = |infinite: u8, inclusive: u8| {
            if flags & infinite != 0 {
                return Ok(Bound::Infinite);
            }
            let part = cursor.sized().flatten().ok_or_else(malformed)?;
            let value = subtype.decode_binary(&raw.slice_ref(part))?;
            Ok(if flags & inclusive != 0 {
                Bound::Inclusive(value)
            } else {
                Bound::Exclusive(value)
            })
        };
        Ok(Range::Between(bound(0x08, 0x02)?, bound(0x10, 0x04)?))
    }
}

fn enum_value(labels: &[(u32, Box<str>)], raw: &[u8]) -> Option<Value> {
    let place = labels.iter().position(|(_, label)| label.as_bytes() == raw)?;
    u32::try_from(place).ok().map(Value::Enum)
}
