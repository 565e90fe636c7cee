//! `count`: shards count, and the counts are added.

use super::{Accumulator, Call, Merge, builtin, counted};
use crate::{TypeError, Value, oid};

#[derive(Debug, Default)]
struct Count(i64);

pub(super) fn rule(call: &Call) -> Option<Result<Merge, TypeError>> {
    if !call.function.eq_ignore_ascii_case("count") {
        return None;
    }
    let sql: Vec<&str> = call.arguments.iter().map(|it| it.sql.as_str()).collect();
    let arguments = if sql.is_empty() { "*".to_owned() } else { sql.join(", ") };
    let partial = call.partial(&format!("count({arguments})"), builtin(oid::INT8));
    Some(Ok(Merge::of(vec![partial], builtin(oid::INT8), Count::default)))
}

impl Accumulator for Count {
    fn add(&mut self, row: &[Option<Value>]) -> Result<(), TypeError> {
        let sum = self.0.checked_add(counted(row, 0)?);
        self.0 = sum.ok_or(super::sum::BIGINT)?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Option<Value>, TypeError> {
        Ok(Some(Value::Int8(self.0)))
    }
}
