//! `mode`, `percentile_disc` and `percentile_cont`, from the sorted values of all shards.

use std::cmp::Ordering;

use super::collect::{Collected, collect};
use super::{Argument, Call, Merge, OrderItem, Partial, builtin, column, unexpected};
use crate::{Collation, Collations, Comparator, Kind, SortOrder, Type, TypeError, Value, oid};

pub(super) fn rule(call: &Call) -> Option<Result<Merge, TypeError>> {
    match call.function.to_ascii_lowercase().as_str() {
        "mode" => Some(mode(call)),
        "percentile_disc" => Some(percentile(call, false)),
        "percentile_cont" => Some(percentile(call, true)),
        _ => None,
    }
}

/// What stands behind `WITHIN GROUP`; no array, since those are not collected.
fn sorted_by(call: &Call) -> Result<&OrderItem, TypeError> {
    match call.order_by.as_slice() {
        [item] if !matches!(item.key.data_type.base().kind(), Kind::Array(..)) => Ok(item),
        _ => Err(call.refusal()),
    }
}

fn not_null(item: &OrderItem) -> String {
    format!("({}) IS NOT NULL", item.key.sql)
}

fn mode(call: &Call) -> Result<Merge, TypeError> {
    let item = sorted_by(call)?;
    let order = item.order.clone();
    let finish = move |rows: Vec<Collected>, _: &[Option<Value>]| {
        // Of equally frequent ones the first.
        let (mut best, mut best_count) = (None, 0);
        let (mut current, mut count) = (None, 0);
        for value in rows.iter().map(|row| column(&row.keys, 0)) {
            if current.is_some() && order.compare(current, value)? == Ordering::Equal {
                count += 1;
            } else {
                (current, count) = (value, 1);
            }
            if count > best_count {
                (best, best_count) = (current, count);
            }
        }
        Ok(best.cloned())
    };
    Ok(collect(call, Vec::new(), Some(&not_null(item)), Box::new(finish)))
}

fn percentile(call: &Call, continuous: bool) -> Result<Merge, TypeError> {
    let item = sorted_by(call)?;
    let fraction = call.argument()?;
    if matches!(fraction.data_type.base().kind(), Kind::Array(..)) {
        return Err(call.refusal());
    }
    let fraction = format!("({})::float8", fraction.sql);
    let condition = not_null(item);
    let sorted = if continuous {
        let float = builtin(oid::FLOAT8);
        if !is_number(&item.key.data_type) {
            return Err(call.refusal());
        }
        let comparator = Comparator::new(&float, &Collation::Bytes, &Collations::bytes())?;
        let key = Argument { sql: format!("({})::float8", item.key.sql), data_type: float };
        let order = SortOrder { comparator, ..item.order.clone() };
        Call { order_by: vec![OrderItem { key, order }], ..call.clone() }
    } else {
        call.clone()
    };
    let finish = move |rows: Vec<Collected>, others: &[Option<Value>]| {
        let fraction = match column(others, 0) {
            None => return Ok(None),
            Some(Value::Float8(fraction)) => *fraction,
            Some(_) => return Err(unexpected("percentile_cont")),
        };
        if continuous { interpolated(&rows, fraction) } else { Ok(at_fraction(&rows, fraction)) }
    };
    let mut merge = collect(&sorted, Vec::new(), Some(&condition), Box::new(finish));
    merge.partials.push(Partial { sql: fraction.clone(), data_type: builtin(oid::FLOAT8) });
    // The server's own error for a fraction that is none, and NULL otherwise.
    let check = format!("percentile_disc({fraction}) WITHIN GROUP (ORDER BY NULL::integer)");
    merge.partials.push(Partial { sql: check, data_type: builtin(oid::INT4) });
    Ok(merge)
}

/// What Postgres turns into double precision to interpolate; intervals have their own way.
fn is_number(data_type: &Type) -> bool {
    let kind = data_type.base().kind();
    matches!(
        kind,
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Numeric | Kind::Float4 | Kind::Float8
    )
}

fn value_at(rows: &[Collected], place: f64) -> Option<&Value> {
    // Not negative, and below the number of rows.
    column(&rows.get(place as usize)?.keys, 0)
}

/// `percentile_disc_final`
fn at_fraction(rows: &[Collected], fraction: f64) -> Option<Value> {
    let place = (fraction * rows.len() as f64).ceil().max(1.0) - 1.0;
    value_at(rows, place).cloned()
}

/// `percentile_cont_final` with `float8_lerp`
fn interpolated(rows: &[Collected], fraction: f64) -> Result<Option<Value>, TypeError> {
    if rows.is_empty() {
        return Ok(None);
    }
    let place = fraction * (rows.len() as f64 - 1.0);
    let (first, second) = (place.floor(), place.ceil());
    match (value_at(rows, first), value_at(rows, second)) {
        (Some(Value::Float8(first)), Some(_)) if place.floor() == second => {
            Ok(Some(Value::Float8(*first)))
        }
        (Some(Value::Float8(low)), Some(Value::Float8(high))) => {
            Ok(Some(Value::Float8(low + (place - first) * (high - low))))
        }
        _ => Err(unexpected("percentile_cont")),
    }
}
