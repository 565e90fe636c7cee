//! `sum`: the sums of shards are added in the type of the result.

use super::{Accumulator, Call, Merge, add_floats, builtin, column, unexpected};
use crate::{Kind, TypeError, Value, oid};

pub(super) const BIGINT: TypeError =
    TypeError::Postgres { message: "bigint out of range", sqlstate: "22003" };
const MONEY: TypeError = TypeError::Postgres { message: "money out of range", sqlstate: "22003" };
pub(super) const INTERVAL: TypeError =
    TypeError::Postgres { message: "interval out of range", sqlstate: "22008" };

#[derive(Debug, Default)]
struct Sum(Option<Value>);

pub(super) fn rule(call: &Call) -> Option<Result<Merge, TypeError>> {
    call.function.eq_ignore_ascii_case("sum").then(|| merge(call))
}

fn merge(call: &Call) -> Result<Merge, TypeError> {
    let argument = call.argument()?;
    let result = match argument.data_type.base().kind() {
        Kind::Int2 | Kind::Int4 => oid::INT8,
        Kind::Int8 | Kind::Numeric => oid::NUMERIC,
        Kind::Float4 => oid::FLOAT4,
        Kind::Float8 => oid::FLOAT8,
        Kind::Money => oid::MONEY,
        Kind::Interval => oid::INTERVAL,
        _ => return Err(call.refusal()),
    };
    let partial = call.partial(&format!("sum({})", argument.sql), builtin(result));
    Ok(Merge::of(vec![partial], builtin(result), Sum::default))
}

impl Accumulator for Sum {
    fn add(&mut self, row: &[Option<Value>]) -> Result<(), TypeError> {
        if let Some(value) = column(row, 0) {
            self.0 = Some(match &self.0 {
                None => value.clone(),
                Some(sum) => plus(sum, value)?,
            });
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Option<Value>, TypeError> {
        Ok(self.0)
    }
}

/// The `+` of the type.
pub(super) fn plus(a: &Value, b: &Value) -> Result<Value, TypeError> {
    Ok(match (a, b) {
        (Value::Int8(a), Value::Int8(b)) => Value::Int8(a.checked_add(*b).ok_or(BIGINT)?),
        (Value::Numeric(a), Value::Numeric(b)) => Value::Numeric(a.add(b)),
        (Value::Float4(a), Value::Float4(b)) => {
            let sum = a + b;
            if sum.is_infinite() && a.is_finite() && b.is_finite() {
                return Err(super::FLOAT_OVERFLOW);
            }
            Value::Float4(sum)
        }
        (Value::Float8(a), Value::Float8(b)) => Value::Float8(add_floats(*a, *b)?),
        (Value::Money(a), Value::Money(b)) => Value::Money(a.checked_add(*b).ok_or(MONEY)?),
        (Value::Interval(a), Value::Interval(b)) => Value::Interval(a.plus(*b).ok_or(INTERVAL)?),
        _ => return Err(unexpected("sum")),
    })
}
