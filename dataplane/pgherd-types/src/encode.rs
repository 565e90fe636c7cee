//! From a value to the bytes of either format.

use crate::{
    Array, Bound, ByteaOutput, Format, IntervalStyle, Kind, Range, Settings, Type, TypeError,
    Value, calendar, container, float, geometry, money, network, text,
};

impl Type {
    /// Appends a value, as the type's output or send function writes it.
    ///
    /// # Errors
    /// When the value is not of the type, or pgherd does not know how it looks under the settings.
    pub fn encode(
        &self,
        format: Format,
        value: &Value,
        settings: &Settings,
        out: &mut Vec<u8>,
    ) -> Result<(), TypeError> {
        match format {
            Format::Text => self.encode_text(value, settings, out),
            Format::Binary => self.encode_binary(value, out),
        }
    }

    fn unwritable(&self, format: Format) -> TypeError {
        TypeError::Unwritable { type_name: self.name().into(), format }
    }

    fn encode_text(
        &self,
        value: &Value,
        settings: &Settings,
        out: &mut Vec<u8>,
    ) -> Result<(), TypeError> {
        match (self.kind(), value) {
            (Kind::Domain(base), value) => return base.encode_text(value, settings, out),
            (Kind::Array(element, delimiter), Value::Array(array)) => {
                return write_array(element, *delimiter, array, settings, out);
            }
            (Kind::Range(subtype, _), Value::Range(range)) => {
                return write_range(subtype, range, settings, out);
            }
            (Kind::Multirange(range), Value::Multirange(ranges)) => {
                let Kind::Range(subtype, _) = range.kind() else {
                    return Err(self.unwritable(Format::Text));
                };
                out.push(b'{');
                for (place, range) in ranges.iter().enumerate() {
                    out.extend_from_slice(if place > 0 { b"," } else { b"" });
                    write_range(subtype, range, settings, out)?;
                }
                out.push(b'}');
                return Ok(());
            }
            (Kind::Composite(fields), Value::Record(values)) => {
                out.push(b'(');
                for (place, (field, value)) in fields.iter().zip(values).enumerate() {
                    out.extend_from_slice(if place > 0 { b"," } else { b"" });
                    if let Some(value) = value {
                        let mut part = Vec::new();
                        field.data_type.encode_text(value, settings, &mut part)?;
                        container::write_doubled(&part, b"\"\\(),", out);
                    }
                }
                out.push(b')');
                return Ok(());
            }
            _ => {}
        }
        self.scalar_text_out(value, settings, out).ok_or_else(|| self.unwritable(Format::Text))
    }

    fn scalar_text_out(&self, value: &Value, settings: &Settings, out: &mut Vec<u8>) -> Option<()> {
        let mut number = |number: &dyn std::fmt::Display| {
            // Cannot fail: a Vec takes anything.
            let _ = std::io::Write::write_fmt(out, format_args!("{number}"));
        };
        match (self.kind(), value) {
            (_, Value::Bool(it)) => out.push(if *it { b't' } else { b'f' }),
            (_, Value::Int2(it)) => number(it),
            (_, Value::Int4(it)) => number(it),
            (_, Value::Int8(it)) => number(it),
            (_, Value::Oid(it)) => number(it),
            (Kind::PgLsn, Value::Unsigned8(it)) => {
                number(&format_args!("{:X}/{:X}", it >> 32, it & 0xFFFF_FFFF));
            }
            (_, Value::Unsigned8(it)) => number(it),
            (_, Value::Tid(block, offset)) => number(&format_args!("({block},{offset})")),
            (_, Value::Float4(it)) => float::write_single(*it, settings.extra_float_digits, out),
            (_, Value::Float8(it)) => float::write(*it, settings.extra_float_digits, out),
            (_, Value::Numeric(it)) => it.write_text(out),
            (_, Value::Money(it)) if settings.monetary_c => money::write_text(*it, out),
            (_, Value::Text(it)) => out.extend_from_slice(it),
            // How others look depends on the version.
            (_, Value::Char(it @ 1..=0x7F)) => out.push(*it),
            (_, Value::Char(0)) => {}
            (_, Value::Bytea(it)) => match settings.bytea_output {
                ByteaOutput::Hex => {
                    out.extend_from_slice(b"\\x");
                    text::write_hex(it, out);
                }
                ByteaOutput::Escape => text::write_bytea_escaped(it, out),
            },
            (_, Value::Uuid(it)) => text::write_uuid(it, out),
            (_, Value::Date(i32::MAX) | Value::Timestamp(i64::MAX)) => {
                out.extend_from_slice(b"infinity");
            }
            (_, Value::Date(i32::MIN) | Value::Timestamp(i64::MIN)) => {
                out.extend_from_slice(b"-infinity");
            }
            (_, Value::Date(it)) => calendar::write_date(i64::from(*it), settings, out),
            (_, Value::Time(it)) => calendar::write_time(*it, out),
            (_, Value::TimeTz(micros, west)) => {
                calendar::write_time(*micros, out);
                calendar::write_offset(west.checked_neg()?, out);
            }
            (Kind::TimestampTz, Value::Timestamp(it)) => {
                let (east, abbreviation) = settings.zone.as_ref()?.at(*it)?;
                let local = it.checked_add(i64::from(east) * calendar::USECS_PER_SEC)?;
                calendar::write_timestamp(local, Some((east, &abbreviation)), settings, out);
            }
            (_, Value::Timestamp(it)) => calendar::write_timestamp(*it, None, settings, out),
            (_, Value::Interval(it)) if settings.interval_style == IntervalStyle::Postgres => {
                it.write_text(out);
            }
            (_, Value::Jsonb(it)) => it.write_text(out),
            (kind, Value::Inet(it)) => it.write_text(matches!(kind, Kind::Cidr), out),
            (_, Value::Macaddr(it)) => network::write_mac(it, out),
            (_, Value::Macaddr8(it)) => network::write_mac(it, out),
            (_, Value::Bits(it)) => it.write_text(out),
            (kind, Value::Geometry(numbers, closed)) => {
                geometry::write_text(kind, numbers, *closed, settings.extra_float_digits, out);
            }
            (Kind::Enum(labels), Value::Enum(place)) => {
                out.extend_from_slice(label(labels, *place)?)
            }
            (_, Value::Opaque(Format::Text, it)) => out.extend_from_slice(it),
            _ => return None,
        }
        Some(())
    }

    fn encode_binary(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), TypeError> {
        let unwritable = || self.unwritable(Format::Binary);
        match (self.kind(), value) {
            (Kind::Domain(base), value) => base.encode_binary(value, out),
            (Kind::Array(element, _), Value::Array(array)) => {
                let count = i32::try_from(array.dimensions.len()).map_err(|_| unwritable())?;
                out.extend(count.to_be_bytes());
                out.extend(i32::from(array.elements.iter().any(Option::is_none)).to_be_bytes());
                out.extend(element.oid().to_be_bytes());
                for dimension in &array.dimensions {
                    out.extend(dimension.length.to_be_bytes());
                    out.extend(dimension.lower_bound.to_be_bytes());
                }
                array.elements.iter().try_for_each(|it| element.encode_sized(it.as_ref(), out))
            }
            (Kind::Range(subtype, _), Value::Range(range)) => {
                write_range_binary(subtype, range, out)
            }
            (Kind::Multirange(range), Value::Multirange(ranges)) => {
                let Kind::Range(subtype, _) = range.kind() else { return Err(unwritable()) };
                let count = i32::try_from(ranges.len()).map_err(|_| unwritable())?;
                out.extend(count.to_be_bytes());
                ranges.iter().try_for_each(|range| {
                    sized(out, unwritable, |out| write_range_binary(subtype, range, out))
                })
            }
            (Kind::Composite(fields), Value::Record(values)) => {
                let count = i32::try_from(fields.len()).map_err(|_| unwritable())?;
                out.extend(count.to_be_bytes());
                fields.iter().zip(values).try_for_each(|(field, value)| {
                    out.extend(field.data_type.oid().to_be_bytes());
                    field.data_type.encode_sized(value.as_ref(), out)
                })
            }
            (_, value) => self.scalar_binary_out(value, out).ok_or_else(unwritable),
        }
    }

    /// With its length in front, -1 for NULL.
    fn encode_sized(&self, value: Option<&Value>, out: &mut Vec<u8>) -> Result<(), TypeError> {
        let Some(value) = value else {
            out.extend((-1_i32).to_be_bytes());
            return Ok(());
        };
        let unwritable = || self.unwritable(Format::Binary);
        sized(out, unwritable, |out| self.encode_binary(value, out))
    }

    fn scalar_binary_out(&self, value: &Value, out: &mut Vec<u8>) -> Option<()> {
        match (self.kind(), value) {
            (_, Value::Bool(it)) => out.push(u8::from(*it)),
            (_, Value::Int2(it)) => out.extend(it.to_be_bytes()),
            (_, Value::Int4(it) | Value::Date(it)) => out.extend(it.to_be_bytes()),
            (_, Value::Int8(it) | Value::Money(it) | Value::Time(it) | Value::Timestamp(it)) => {
                out.extend(it.to_be_bytes());
            }
            (_, Value::Oid(it)) => out.extend(it.to_be_bytes()),
            (_, Value::Unsigned8(it)) => out.extend(it.to_be_bytes()),
            (_, Value::Tid(block, offset)) => {
                out.extend(block.to_be_bytes());
                out.extend(offset.to_be_bytes());
            }
            (_, Value::Float4(it)) => out.extend(it.to_be_bytes()),
            (_, Value::Float8(it)) => out.extend(it.to_be_bytes()),
            (_, Value::Numeric(it)) => it.write_binary(out)?,
            (_, Value::Text(it) | Value::Bytea(it)) => out.extend_from_slice(it),
            (_, Value::Char(it)) => out.push(*it),
            (_, Value::Uuid(it)) => out.extend_from_slice(it),
            (_, Value::TimeTz(micros, west)) => {
                out.extend(micros.to_be_bytes());
                out.extend(west.to_be_bytes());
            }
            (_, Value::Interval(it)) => it.write_binary(out),
            (_, Value::Jsonb(it)) => {
                out.push(1);
                it.write_text(out);
            }
            (kind, Value::Inet(it)) => it.write_binary(matches!(kind, Kind::Cidr), out),
            (_, Value::Macaddr(it)) => out.extend_from_slice(it),
            (_, Value::Macaddr8(it)) => out.extend_from_slice(it),
            (_, Value::Bits(it)) => it.write_binary(out)?,
            (kind, Value::Geometry(numbers, closed)) => {
                geometry::write_binary(kind, numbers, *closed, out)?;
            }
            (Kind::Enum(labels), Value::Enum(place)) => {
                out.extend_from_slice(label(labels, *place)?)
            }
            (_, Value::Opaque(Format::Binary, it)) => out.extend_from_slice(it),
            _ => return None,
        }
        Some(())
    }
}

fn label(labels: &[(u32, Box<str>)], place: u32) -> Option<&[u8]> {
    labels.get(usize::try_from(place).ok()?).map(|(_, label)| label.as_bytes())
}

/// Writes a length and then what has it.
fn sized(
    out: &mut Vec<u8>,
    unwritable: impl Fn() -> TypeError,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), TypeError>,
) -> Result<(), TypeError> {
    let start = out.len();
    out.extend([0; 4]);
    write(out)?;
    let length = i32::try_from(out.len() - start - 4).map_err(|_| unwritable())?;
    let places = out.iter_mut().skip(start).take(4);
    places.zip(length.to_be_bytes()).for_each(|(place, byte)| *place = byte);
    Ok(())
}

fn write_array(
    element: &Type,
    delimiter: u8,
    array: &Array,
    settings: &Settings,
    out: &mut Vec<u8>,
) -> Result<(), TypeError> {
    if array.elements.is_empty() {
        out.extend_from_slice(b"{}");
        return Ok(());
    }
    if array.dimensions.iter().any(|it| it.lower_bound != 1) {
        for dimension in &array.dimensions {
            let upper = i64::from(dimension.lower_bound) + i64::from(dimension.length) - 1;
            out.extend(format!("[{}:{upper}]", dimension.lower_bound).as_bytes());
        }
        out.push(b'=');
    }
    // How many elements the rest of the dimensions hold: a brace stands before each such run.
    let mut runs = Vec::new();
    let mut run = 1;
    for dimension in array.dimensions.iter().rev() {
        run *= usize::try_from(dimension.length).unwrap_or(1).max(1);
        runs.push(run);
    }
    let mut part = Vec::new();
    for (place, value) in array.elements.iter().enumerate() {
        if place > 0 {
            out.push(delimiter);
        }
        let opened = runs.iter().filter(|run| place % **run == 0).count();
        out.extend(std::iter::repeat_n(b'{', opened));
        match value {
            None => out.extend_from_slice(b"NULL"),
            Some(value) => {
                part.clear();
                element.encode_text(value, settings, &mut part)?;
                container::write_element(&part, delimiter, out);
            }
        }
        let closed = runs.iter().filter(|run| (place + 1) % **run == 0).count();
        out.extend(std::iter::repeat_n(b'}', closed));
    }
    Ok(())
}

fn write_range(
    subtype: &Type,
    range: &Range,
    settings: &Settings,
    out: &mut Vec<u8>,
) -> Result<(), TypeError> {
    let Range::Between(lower, upper) = range else {
        out.extend_from_slice(b"empty");
        return Ok(());
    };
    let bound = |bound: &Bound, out: &mut Vec<u8>| {
        if let Bound::Inclusive(value) | Bound::Exclusive(value) = bound {
            let mut part = Vec::new();
            subtype.encode_text(value, settings, &mut part)?;
            container::write_doubled(&part, b"\"\\()[],", out);
        }
        Ok(())
    };
    out.push(if matches!(lower, Bound::Inclusive(_)) { b'[' } else { b'(' });
    bound(lower, out)?;
    out.push(b',');
    bound(upper, out)?;
    out.push(if matches!(upper, Bound::Inclusive(_)) { b']' } else { b')' });
    Ok(())
}

fn write_range_binary(subtype: &Type, range: &Range, out: &mut Vec<u8>) -> Result<(), TypeError> {
    let Range::Between(lower, upper) = range else {
        out.push(0x01);
        return Ok(());
    };
    let flags = |bound: &Bound, infinite: u8, inclusive: u8| match bound {
        Bound::Infinite => infinite,
        Bound::Inclusive(_) => inclusive,
        Bound::Exclusive(_) => 0,
    };
    out.push(flags(lower, 0x08, 0x02) | flags(upper, 0x10, 0x04));
    for bound in [lower, upper] {
        if let Bound::Inclusive(value) | Bound::Exclusive(value) = bound {
            subtype.encode_sized(Some(value), out)?;
        }
    }
    Ok(())
}
