//! `bit_and`, `bit_or` and `bit_xor`, on integers and bit strings.

use super::{Accumulator, Call, Merge, column, unexpected};
use crate::{Kind, TypeError, Value};

#[derive(Clone, Copy, Debug)]
enum Operation {
    And,
    Or,
    Xor,
}

#[derive(Debug)]
struct BitState {
    operation: Operation,
    state: Option<Value>,
}

pub(super) fn rule(call: &Call) -> Option<Result<Merge, TypeError>> {
    let operation = match call.function.to_ascii_lowercase().as_str() {
        "bit_and" => Operation::And,
        "bit_or" => Operation::Or,
        "bit_xor" => Operation::Xor,
        _ => return None,
    };
    Some(merge(call, operation))
}

fn merge(call: &Call, operation: Operation) -> Result<Merge, TypeError> {
    let argument = call.argument()?;
    let base = argument.data_type.base();
    if !matches!(base.kind(), Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Bits) {
        return Err(call.refusal());
    }
    let partial = call.partial(&format!("{}({})", call.function, argument.sql), base.clone());
    let start = move || BitState { operation, state: None };
    Ok(Merge::of(vec![partial], base.clone(), start))
}

impl Accumulator for BitState {
    fn add(&mut self, row: &[Option<Value>]) -> Result<(), TypeError> {
        if let Some(value) = column(row, 0) {
            self.state = Some(match &self.state {
                None => value.clone(),
                Some(state) => combine(self.operation, state, value)?,
            });
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Option<Value>, TypeError> {
        Ok(self.state)
    }
}

fn combine(operation: Operation, a: &Value, b: &Value) -> Result<Value, TypeError> {
    let integer = |a: i64, b: i64| match operation {
        Operation::And => a & b,
        Operation::Or => a | b,
        Operation::Xor => a ^ b,
    };
    Ok(match (a, b) {
        // Sign-extended, so that nothing is lost on the way back.
        (Value::Int2(a), Value::Int2(b)) => {
            Value::Int2(integer(i64::from(*a), i64::from(*b)) as i16)
        }
        (Value::Int4(a), Value::Int4(b)) => {
            Value::Int4(integer(i64::from(*a), i64::from(*b)) as i32)
        }
        (Value::Int8(a), Value::Int8(b)) => Value::Int8(integer(*a, *b)),
        (Value::Bits(a), Value::Bits(b)) => {
            let (message, bytes) = match operation {
                Operation::And => {
                    ("cannot AND bit strings of different sizes", a.zip(b, |a, b| a & b))
                }
                Operation::Or => {
                    ("cannot OR bit strings of different sizes", a.zip(b, |a, b| a | b))
                }
                Operation::Xor => {
                    ("cannot XOR bit strings of different sizes", a.zip(b, |a, b| a ^ b))
                }
            };
            Value::Bits(bytes.ok_or(TypeError::Postgres { message, sqlstate: "22026" })?)
        }
        _ => return Err(unexpected("bit_and")),
    })
}
