//! `bool_and`, `bool_or` and `every`.

use super::{Accumulator, Call, Merge, builtin, column, unexpected};
use crate::{TypeError, Value, oid};

#[derive(Debug)]
struct Logic {
    is_and: bool,
    state: Option<bool>,
}

pub(super) fn rule(call: &Call) -> Option<Result<Merge, TypeError>> {
    let is_and = match call.function.to_ascii_lowercase().as_str() {
        "bool_and" | "every" => true,
        "bool_or" => false,
        _ => return None,
    };
    Some(call.argument().map(|argument| {
        let sql = format!("{}({})", call.function, argument.sql);
        let partial = call.partial(&sql, builtin(oid::BOOL));
        Merge::of(vec![partial], builtin(oid::BOOL), move || Logic { is_and, state: None })
    }))
}

impl Accumulator for Logic {
    fn add(&mut self, row: &[Option<Value>]) -> Result<(), TypeError> {
        let value = match column(row, 0) {
            None => return Ok(()),
            Some(Value::Bool(value)) => *value,
            Some(_) => return Err(unexpected("bool_and")),
        };
        let state = self.state.unwrap_or(value);
        self.state = Some(if self.is_and { state && value } else { state || value });
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Option<Value>, TypeError> {
        Ok(self.state.map(Value::Bool))
    }
}
