//! `array_agg` and `string_agg`: shards send arrays in the call's order, which are merged by it.
//!
//! Without ORDER BY the rows of a shard follow those of the shard before; Postgres promises no order
//! there, either.

use std::cmp::Ordering;

use super::{Accumulator, Argument, Call, Merge, OrderItem, Partial, builtin, column, unexpected};
use crate::{Array, Comparator, Dimension, Kind, SortOrder, Type, TypeError, Value, oid};

/// What a row has brought: the arguments and the keys to sort by.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) arguments: Vec<Option<Value>>,
    pub(super) keys: Vec<Option<Value>>,
}

/// Makes the result of all rows, in order, and of the partials that are not arrays of them.
pub(super) type Finish =
    Box<dyn Fn(Vec<Collected>, &[Option<Value>]) -> Result<Option<Value>, TypeError> + Send + Sync>;

struct Collection {
    orders: std::sync::Arc<[SortOrder]>,
    arguments: usize,
    rows: Vec<Collected>,
    /// What was said besides the arrays.
    others: Vec<Option<Value>>,
    finish: std::sync::Arc<Finish>,
}

impl std::fmt::Debug for Collection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collection").field("rows", &self.rows).finish_non_exhaustive()
    }
}

pub(super) fn rule(call: &Call) -> Option<Result<Merge, TypeError>> {
    match call.function.to_ascii_lowercase().as_str() {
        "array_agg" | "string_agg" if call.distinct => Some(distinct_values(call)),
        "array_agg" => Some(array_agg(call)),
        "string_agg" => Some(string_agg(call)),
        _ => None,
    }
}

fn array_agg(call: &Call) -> Result<Merge, TypeError> {
    let argument = call.argument()?;
    // Arrays of one more dimension are another matter.
    if matches!(argument.data_type.base().kind(), Kind::Array(..)) {
        return Err(call.refusal());
    }
    let arguments = vec![(argument.sql.clone(), argument.data_type.clone())];
    Ok(collect(call, arguments, None, Box::new(|rows, _| Ok(array_of(rows)))))
}

fn array_of(rows: Vec<Collected>) -> Option<Value> {
    let length = i32::try_from(rows.len()).ok().filter(|&length| length > 0)?;
    let elements = rows.into_iter().map(|mut row| row.arguments.pop().flatten()).collect();
    let dimensions = Box::new([Dimension { length, lower_bound: 1 }]);
    Some(Value::Array(Box::new(Array { dimensions, elements })))
}

fn string_agg(call: &Call) -> Result<Merge, TypeError> {
    let [text, delimiter] = call.arguments.as_slice() else { return Err(call.refusal()) };
    // The function's own types: constants have none yet, and `char(n)` loses its padding.
    let data_type = match text.data_type.base().kind() {
        Kind::Bytea => builtin(oid::BYTEA),
        Kind::Text | Kind::Bpchar | Kind::Name => builtin(oid::TEXT),
        _ => return Err(call.refusal()),
    };
    let cast = |sql: &str| (format!("({sql})::{}", data_type.name()), data_type.clone());
    let arguments = vec![cast(&text.sql), cast(&delimiter.sql)];
    let condition = format!("({}) IS NOT NULL", text.sql);
    Ok(collect(call, arguments, Some(&condition), Box::new(join)))
}

/// The delimiter of the first row is left out.
fn join(rows: Vec<Collected>, _: &[Option<Value>]) -> Result<Option<Value>, TypeError> {
    let mut joined = Vec::new();
    let mut is_bytea = false;
    let some = !rows.is_empty();
    for (place, row) in rows.into_iter().enumerate() {
        if let Some(Value::Text(delimiter) | Value::Bytea(delimiter)) =
            column(&row.arguments, 1).filter(|_| place > 0)
        {
            joined.extend_from_slice(delimiter);
        }
        match column(&row.arguments, 0) {
            Some(Value::Text(text)) => joined.extend_from_slice(text),
            Some(Value::Bytea(bytes)) => {
                joined.extend_from_slice(bytes);
                is_bytea = true;
            }
            _ => return Err(unexpected("string_agg")),
        }
    }
    Ok(some.then(|| {
        let joined = joined.into();
        if is_bytea { Value::Bytea(joined) } else { Value::Text(joined) }
    }))
}

/// With DISTINCT the argument is its own order, also where none is written.
fn distinct_values(call: &Call) -> Result<Merge, TypeError> {
    let is_array = call.function.eq_ignore_ascii_case("array_agg");
    let (value, delimiter) = match call.arguments.as_slice() {
        [value] if is_array => (value.clone(), None),
        // A constant: else pairs would be distinct.
        [value, delimiter] if !is_array && is_literal(&delimiter.sql) => {
            if !matches!(value.data_type.base().kind(), Kind::Text | Kind::Bpchar | Kind::Name) {
                return Err(call.refusal());
            }
            let sql = format!("({})::text", value.sql);
            (Argument { sql, data_type: builtin(oid::TEXT) }, Some(delimiter))
        }
        _ => return Err(call.refusal()),
    };
    if matches!(value.data_type.base().kind(), Kind::Array(..)) {
        return Err(call.refusal());
    }
    let own = |it: &OrderItem| call.arguments.first().is_some_and(|value| value.sql == it.key.sql);
    let order = match call.order_by.as_slice() {
        [] => SortOrder {
            comparator: Comparator::new(&value.data_type, &call.collation, &call.collations)?,
            descending: false,
            nulls_first: false,
        },
        [item] if own(item) => item.order.clone(),
        _ => return Err(call.refusal()),
    };
    let item = OrderItem { key: value.clone(), order: order.clone() };
    let condition = delimiter.map(|_| format!("({}) IS NOT NULL", value.sql));
    let sorted = Call { order_by: vec![item], ..call.clone() };
    let finish = move |mut rows: Vec<Collected>, others: &[Option<Value>]| {
        let mut failure = None;
        rows.dedup_by(|a, b| {
            let (a, b) = (column(&a.keys, 0), column(&b.keys, 0));
            order.compare(a, b).map(Ordering::is_eq).unwrap_or_else(|error| {
                failure = Some(error);
                false
            })
        });
        if let Some(error) = failure {
            return Err(error);
        }
        // The key is the argument.
        for row in &mut rows {
            row.arguments = row.keys.clone();
            row.arguments.extend(others.iter().cloned());
        }
        if is_array { Ok(array_of(rows)) } else { join(rows, others) }
    };
    let mut merge = collect(&sorted, Vec::new(), condition.as_deref(), Box::new(finish));
    for partial in &mut merge.partials {
        partial.sql = partial.sql.replacen("array_agg(", "array_agg(DISTINCT ", 1);
    }
    if let Some(delimiter) = delimiter {
        let sql = format!("min(({})::text)", delimiter.sql);
        merge.partials.push(Partial { sql, data_type: builtin(oid::TEXT) });
    }
    Ok(merge)
}

/// A string constant without escapes.
fn is_literal(sql: &str) -> bool {
    let inner = sql.strip_prefix('\'').and_then(|sql| sql.strip_suffix('\''));
    inner.is_some_and(|inner| !inner.replace("''", "").contains('\''))
}

/// A merge by which each shard sends an array for each argument and each item of ORDER BY.
pub(super) fn collect(
    call: &Call,
    arguments: Vec<(String, Type)>,
    condition: Option<&str>,
    finish: Finish,
) -> Merge {
    let order = order_clause(call);
    let count = arguments.len();
    let keys = call.order_by.iter().map(|it| (it.key.sql.clone(), it.key.data_type.clone()));
    let partial = |(sql, data_type): (String, Type)| -> Partial {
        let array = Type::new(0, &format!("{}[]", data_type.name()), array_kind(data_type));
        call.partial_where(&format!("array_agg({sql}{order})"), condition, array)
    };
    let partials = arguments.into_iter().chain(keys).map(partial).collect();
    let orders: std::sync::Arc<[SortOrder]> =
        call.order_by.iter().map(|it| it.order.clone()).collect();
    let finish = std::sync::Arc::new(finish);
    Merge::of(partials, call.result.clone(), move || Collection {
        orders: orders.clone(),
        arguments: count,
        rows: Vec::new(),
        others: Vec::new(),
        finish: finish.clone(),
    })
}

fn array_kind(element: Type) -> Kind {
    let delimiter = if matches!(element.base().kind(), Kind::Box) { b';' } else { b',' };
    Kind::Array(element, delimiter)
}

fn order_clause(call: &Call) -> String {
    let items: Vec<String> = call
        .order_by
        .iter()
        .map(|it| {
            let direction = if it.order.descending { "DESC" } else { "ASC" };
            let nulls = if it.order.nulls_first { "FIRST" } else { "LAST" };
            format!("{} {direction} NULLS {nulls}", it.key.sql)
        })
        .collect();
    if items.is_empty() { String::new() } else { format!(" ORDER BY {}", items.join(", ")) }
}

impl Accumulator for Collection {
    fn add(&mut self, row: &[Option<Value>]) -> Result<(), TypeError> {
        let mut columns = Vec::with_capacity(row.len());
        let (arrays, others) = row.split_at(row.len().min(self.arguments + self.orders.len()));
        self.others = others.to_vec();
        for value in arrays {
            match value {
                // No rows.
                None => return Ok(()),
                Some(Value::Array(array)) => columns.push(array.elements.clone().into_iter()),
                Some(_) => return Err(unexpected("array_agg")),
            }
        }
        loop {
            let values: Vec<Option<Option<Value>>> =
                columns.iter_mut().map(Iterator::next).collect();
            let Some(mut values) = values.into_iter().collect::<Option<Vec<_>>>() else {
                return Ok(());
            };
            if values.is_empty() {
                return Err(unexpected("array_agg"));
            }
            let keys = values.split_off(self.arguments.min(values.len()));
            self.rows.push(Collected { arguments: values, keys });
        }
    }

    fn finish(mut self: Box<Self>) -> Result<Option<Value>, TypeError> {
        let mut failure = None;
        // Stable, and quick on runs that are sorted already.
        self.rows.sort_by(|a, b| {
            for ((order, a), b) in self.orders.iter().zip(&a.keys).zip(&b.keys) {
                match order.compare(a.as_ref(), b.as_ref()) {
                    Ok(Ordering::Equal) => {}
                    Ok(order) => return order,
                    Err(error) => failure = Some(error),
                }
            }
            Ordering::Equal
        });
        match failure {
            Some(error) => Err(error),
            None => (self.finish)(self.rows, &self.others),
        }
    }
}
