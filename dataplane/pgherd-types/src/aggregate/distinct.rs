//! DISTINCT within `count`, `sum` and `avg`: shards send their distinct values, equal ones of several
//! shards count once.

use std::collections::HashMap;

use super::sum::plus;
use super::{Accumulator, Call, Merge, builtin, column, unexpected};
use crate::{Kind, Numeric, Type, TypeError, Value, oid};

#[derive(Clone, Copy, Debug)]
enum Wanted {
    Count,
    Sum,
    Average,
}

#[derive(Debug)]
struct Distinct {
    wanted: Wanted,
    element: Type,
    values: HashMap<Vec<u8>, Value>,
}

pub(super) fn rule(call: &Call) -> Option<Result<Merge, TypeError>> {
    if !call.distinct {
        return None;
    }
    let wanted = match call.function.to_ascii_lowercase().as_str() {
        "count" => Wanted::Count,
        "sum" => Wanted::Sum,
        "avg" => Wanted::Average,
        // Twice the same changes nothing.
        // Theirs is another order.
        "array_agg" | "string_agg" => return None,
        "min" | "max" | "bool_and" | "bool_or" | "every" | "bit_and" | "bit_or" => return None,
        _ => return Some(Err(call.refusal())),
    };
    Some(merge(call, wanted))
}

fn merge(call: &Call, wanted: Wanted) -> Result<Merge, TypeError> {
    let argument = call.argument()?;
    let element = argument.data_type.base().clone();
    let result = match (wanted, element.kind()) {
        (Wanted::Count, kind) => {
            element.check_groupable(&call.collation, &call.collations)?;
            // `array_agg` of arrays makes another array of them.
            if matches!(kind, Kind::Array(..)) {
                return Err(call.refusal());
            }
            oid::INT8
        }
        (Wanted::Sum, Kind::Int2 | Kind::Int4) => oid::INT8,
        (Wanted::Sum, Kind::Int8 | Kind::Numeric) => oid::NUMERIC,
        (Wanted::Average, Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Numeric) => oid::NUMERIC,
        _ => return Err(call.refusal()),
    };
    let array = Type::new(0, &format!("{}[]", element.name()), Kind::Array(element.clone(), b','));
    let partial = call.partial(&format!("array_agg(DISTINCT {})", argument.sql), array);
    Ok(Merge::of(vec![partial], builtin(result), move || Distinct {
        wanted,
        element: element.clone(),
        values: HashMap::new(),
    }))
}

impl Accumulator for Distinct {
    fn add(&mut self, row: &[Option<Value>]) -> Result<(), TypeError> {
        let array = match column(row, 0) {
            None => return Ok(()),
            Some(Value::Array(array)) => array,
            Some(_) => return Err(unexpected("count")),
        };
        for value in array.elements.iter().flatten() {
            let mut key = Vec::new();
            self.element.group_key(Some(value), &mut key)?;
            self.values.entry(key).or_insert_with(|| value.clone());
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Option<Value>, TypeError> {
        let count = i64::try_from(self.values.len()).unwrap_or(i64::MAX);
        if matches!(self.wanted, Wanted::Count) {
            return Ok(Some(Value::Int8(count)));
        }
        let exact = |value: Value| match value {
            Value::Int2(number) => Ok(Value::Int8(i64::from(number))),
            Value::Int4(number) => Ok(Value::Int8(i64::from(number))),
            Value::Int8(number) => Ok(Value::Numeric(Numeric::from(i128::from(number)))),
            Value::Numeric(number) => Ok(Value::Numeric(number)),
            _ => Err(unexpected("sum")),
        };
        let mut sum: Option<Value> = None;
        for value in self.values.into_values() {
            let value = exact(value)?;
            sum = Some(match sum {
                None => value,
                Some(sum) => plus(&sum, &value)?,
            });
        }
        let (Wanted::Average, Some(sum)) = (self.wanted, &sum) else { return Ok(sum) };
        let sum = match sum {
            Value::Int8(sum) => Numeric::from(i128::from(*sum)),
            Value::Numeric(sum) => sum.clone(),
            _ => return Err(unexpected("avg")),
        };
        let average = sum.divide(&Numeric::from(i128::from(count)));
        Ok(average.map(Value::Numeric))
    }
}
