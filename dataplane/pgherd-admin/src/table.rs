//! Results from a list of columns, each with its name, its type and where its value comes from.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use pgherd_session::{AdminReply, Table};
use pgherd_wire::backend::Column;

/// A column of a result whose rows are made from values of type `R`.
pub(crate) struct Field<R> {
    name: &'static str,
    value: Value<R>,
}

enum Value<R> {
    Text(fn(&R) -> Option<String>),
    Int8(fn(&R) -> u64),
    MaybeInt8(fn(&R) -> Option<u64>),
    Bool(fn(&R) -> bool),
}

/// A column of type `text`.
pub(crate) const fn text<R>(name: &'static str, value: fn(&R) -> Option<String>) -> Field<R> {
    Field { name, value: Value::Text(value) }
}

/// A column of type `int8`.
pub(crate) const fn int8<R>(name: &'static str, value: fn(&R) -> u64) -> Field<R> {
    Field { name, value: Value::Int8(value) }
}

/// A column of type `int8` that may be null.
pub(crate) const fn maybe_int8<R>(name: &'static str, value: fn(&R) -> Option<u64>) -> Field<R> {
    Field { name, value: Value::MaybeInt8(value) }
}

/// A column of type `bool`.
pub(crate) const fn boolean<R>(name: &'static str, value: fn(&R) -> bool) -> Field<R> {
    Field { name, value: Value::Bool(value) }
}

impl<R> Field<R> {
    fn column(&self) -> Column<'static> {
        let type_oid = match self.value {
            Value::Text(_) => 25,
            Value::Int8(_) | Value::MaybeInt8(_) => 20,
            Value::Bool(_) => 16,
        };
        Column { name: self.name, type_oid }
    }

    fn render(&self, row: &R) -> Option<String> {
        match self.value {
            Value::Text(value) => value(row),
            Value::Int8(value) => Some(value(row).to_string()),
            Value::MaybeInt8(value) => value(row).map(|n| n.to_string()),
            Value::Bool(value) => Some(if value(row) { "t" } else { "f" }.to_owned()),
        }
    }
}

/// The reply with one row for each value.
pub(crate) fn table<R>(fields: &[Field<R>], rows: impl IntoIterator<Item = R>) -> AdminReply {
    AdminReply::Rows(Table {
        columns: fields.iter().map(Field::column).collect(),
        rows: rows
            .into_iter()
            .map(|row| fields.iter().map(|field| field.render(&row)).collect())
            .collect(),
        tag: "SHOW",
    })
}

/// A count as the `int8` column shows it.
pub(crate) fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// A length of time in whole milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The same in microseconds.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A time as PgBouncer writes it, in UTC whatever the proxy's own zone.
pub(crate) fn timestamp(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_230_123);
        assert_eq!(timestamp(at), "2026-11-21 03:02:03 UTC");
    }
}
