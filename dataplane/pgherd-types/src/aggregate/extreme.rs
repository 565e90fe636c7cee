//! `min` and `max`: the extreme of the shards' extremes, in the order of the type.

use std::cmp::Ordering;

use super::{Accumulator, Call, Merge, column};
use crate::{Comparator, Type, TypeError, Value, oid};

#[derive(Debug)]
struct Extreme {
    comparator: Comparator,
    wanted: Ordering,
    best: Option<Value>,
}

pub(super) fn rule(call: &Call) -> Option<Result<Merge, TypeError>> {
    let wanted = match call.function.to_ascii_lowercase().as_str() {
        "min" => Ordering::Less,
        "max" => Ordering::Greater,
        _ => return None,
    };
    Some(merge(call, wanted))
}

fn merge(call: &Call, wanted: Ordering) -> Result<Merge, TypeError> {
    let argument = call.argument()?;
    // Not of the argument's type: `max(name)` is that of text. Records are what the argument is.
    let result = if call.result.oid() == oid::RECORD {
        Type::new(oid::RECORD, call.result.name(), argument.data_type.base().kind().clone())
    } else {
        call.result.clone()
    };
    let comparator = Comparator::new(&result, &call.collation, &call.collations)?;
    let sql = format!("{}({})", call.function, argument.sql);
    let partial = call.partial(&sql, result.clone());
    Ok(Merge::of(vec![partial], result, move || Extreme {
        comparator: comparator.clone(),
        wanted,
        best: None,
    }))
}

impl Accumulator for Extreme {
    fn add(&mut self, row: &[Option<Value>]) -> Result<(), TypeError> {
        let Some(value) = column(row, 0) else { return Ok(()) };
        let better = match &self.best {
            None => true,
            Some(best) => self.comparator.compare(value, best)? == self.wanted,
        };
        if better {
            self.best = Some(value.clone());
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Option<Value>, TypeError> {
        Ok(self.best)
    }
}
