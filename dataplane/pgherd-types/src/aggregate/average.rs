//! `avg`: sums and counts of shards, divided once at the end as Postgres divides.

use super::sum::{INTERVAL, plus};
use super::{Accumulator, Call, Merge, builtin, column, counted, unexpected};
use crate::{Kind, Numeric, TypeError, Value, oid};

#[derive(Debug, Default)]
struct Average {
    sum: Option<Value>,
    count: i64,
}

pub(super) fn rule(call: &Call) -> Option<Result<Merge, TypeError>> {
    call.function.eq_ignore_ascii_case("avg").then(|| merge(call))
}

fn merge(call: &Call) -> Result<Merge, TypeError> {
    let argument = call.argument()?;
    let sql = &argument.sql;
    let (sum, result) = match argument.data_type.base().kind() {
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Numeric => {
            (format!("sum(({sql})::numeric)"), oid::NUMERIC)
        }
        // The state of both is in double precision.
        Kind::Float4 | Kind::Float8 => (format!("sum(({sql})::float8)"), oid::FLOAT8),
        Kind::Interval => (format!("sum({sql})"), oid::INTERVAL),
        _ => return Err(call.refusal()),
    };
    let partials = vec![
        call.partial(&sum, builtin(result)),
        call.partial(&format!("count({sql})"), builtin(oid::INT8)),
    ];
    Ok(Merge::of(partials, builtin(result), Average::default))
}

impl Accumulator for Average {
    fn add(&mut self, row: &[Option<Value>]) -> Result<(), TypeError> {
        if let Some(value) = column(row, 0) {
            self.sum = Some(match &self.sum {
                None => value.clone(),
                Some(sum) => plus(sum, value)?,
            });
        }
        self.count += counted(row, 1)?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Option<Value>, TypeError> {
        let count = self.count;
        let Some(sum) = self.sum.filter(|_| count > 0) else { return Ok(None) };
        Ok(Some(match sum {
            Value::Numeric(sum) => {
                let quotient = sum.divide(&Numeric::from(i128::from(count)));
                Value::Numeric(quotient.ok_or_else(|| unexpected("avg"))?)
            }
            Value::Float8(sum) => Value::Float8(sum / count as f64),
            Value::Interval(sum) => Value::Interval(sum.divide(count as f64).ok_or(INTERVAL)?),
            _ => return Err(unexpected("avg")),
        }))
    }
}
