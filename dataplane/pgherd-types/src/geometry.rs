//! Geometric types: points and what is made of them, which have no order.

use crate::binary::Cursor;
use crate::{Kind, Value, float};

/// What stands around the points of each type.
fn numbers(kind: &Kind) -> Option<usize> {
    Some(match kind {
        Kind::Point => 2,
        Kind::Line | Kind::Circle => 3,
        Kind::Lseg | Kind::Box => 4,
        _ => return None,
    })
}

pub(crate) fn from_text(kind: &Kind, text: &[u8]) -> Option<Value> {
    let separator = |byte: &u8| b"()[]{}<>,".contains(byte);
    let words = text.split(separator).filter(|word| !word.is_empty());
    let all: Vec<f64> = words.map(float::parse).collect::<Option<_>>()?;
    let fits =
        numbers(kind).map_or(all.len().is_multiple_of(2) && !all.is_empty(), |it| it == all.len());
    let closed = matches!(kind, Kind::Path) && text.starts_with(b"(");
    fits.then(|| Value::Geometry(all.into(), closed))
}

pub(crate) fn from_binary(kind: &Kind, bytes: &[u8]) -> Option<Value> {
    let mut cursor = Cursor(bytes);
    let closed = matches!(kind, Kind::Path) && cursor.u8()? != 0;
    let count = match numbers(kind) {
        Some(count) => count,
        None => usize::try_from(cursor.i32()?).ok()?.checked_mul(2)?,
    };
    if cursor.0.len() != count.checked_mul(8)? {
        return None;
    }
    let all: Option<Box<[f64]>> = (0..count).map(|_| cursor.f64()).collect();
    Some(Value::Geometry(all?, closed))
}

pub(crate) fn write_binary(
    kind: &Kind,
    numbers: &[f64],
    closed: bool,
    out: &mut Vec<u8>,
) -> Option<()> {
    if matches!(kind, Kind::Path) {
        out.push(u8::from(closed));
    }
    if matches!(kind, Kind::Path | Kind::Polygon) {
        out.extend(i32::try_from(numbers.len() / 2).ok()?.to_be_bytes());
    }
    out.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    Some(())
}

pub(crate) fn write_text(kind: &Kind, all: &[f64], closed: bool, digits: i32, out: &mut Vec<u8>) {
    let list = |numbers: &[f64], out: &mut Vec<u8>| {
        for (place, number) in numbers.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            float::write(*number, digits, out);
        }
    };
    let points = |numbers: &[f64], out: &mut Vec<u8>| {
        for (place, point) in numbers.chunks(2).enumerate() {
            out.extend_from_slice(if place > 0 { b",(" } else { b"(" });
            list(point, out);
            out.push(b')');
        }
    };
    let (open, close): (&[u8], &[u8]) = match kind {
        Kind::Point | Kind::Box => (b"", b""),
        Kind::Line => (b"{", b"}"),
        Kind::Lseg => (b"[", b"]"),
        Kind::Circle => (b"<", b">"),
        Kind::Path if !closed => (b"[", b"]"),
        _ => (b"(", b")"),
    };
    out.extend_from_slice(open);
    match kind {
        Kind::Line => list(all, out),
        Kind::Circle => {
            let (center, radius) = all.split_at(all.len().min(2));
            points(center, out);
            out.push(b',');
            list(radius, out);
        }
        _ => points(all, out),
    }
    out.extend_from_slice(close);
}
