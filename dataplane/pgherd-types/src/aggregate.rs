//! Aggregates over shards: what each is asked, and how the answers become one.
//!
//! A [`Call`] becomes a [`Merge`]: expressions that take its place in the statement for the shards,
//! and an [`Accumulator`] for each group that takes their values. The results are those of one
//! Postgres with all rows. Sums of floating-point numbers depend on the order of the rows there,
//! too; here it is that of parallel workers: each shard its own sum, then shard by shard.
//!
//! A new aggregate is a file of its own and a line in [`RULES`].

use std::fmt;

use crate::{Collation, Collations, SortOrder, Type, TypeError, Value};

mod average;
mod bits;
mod collect;
mod count;
mod distinct;
mod extreme;
mod json;
mod logic;
mod ordered_set;
mod regression;
mod sum;
mod variance;

/// An aggregate as a statement calls it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name, without a schema.
    pub function: String,
    /// None for `count(*)`; the direct ones where there is `WITHIN GROUP`.
    pub arguments: Vec<Argument>,
    /// The condition of `FILTER (WHERE …)`.
    pub filter: Option<String>,
    /// `DISTINCT`
    pub distinct: bool,
    /// `ORDER BY` within the call, or within its `WITHIN GROUP`.
    pub order_by: Vec<OrderItem>,
    /// The collation of the call, which `min` and `max` of text and DISTINCT go by.
    pub collation: Collation,
    /// Those within values.
    pub collations: Collations,
    /// What the server says the result is.
    pub result: Type,
}

/// An argument: the SQL that shards understand, and its type.
#[derive(Clone, Debug)]
pub struct Argument {
    pub sql: String,
    pub data_type: Type,
}

/// An item of `ORDER BY` within a call.
#[derive(Clone, Debug)]
pub struct OrderItem {
    pub key: Argument,
    pub order: SortOrder,
}

/// What a shard is asked in place of a call, and the type of its answer.
#[derive(Clone, Debug)]
pub struct Partial {
    pub sql: String,
    pub data_type: Type,
}

/// How the answers of shards become one.
pub struct Merge {
    partials: Vec<Partial>,
    result: Type,
    start: Start,
}

type Start = Box<dyn Fn() -> Box<dyn Accumulator> + Send + Sync>;

/// The state of one group.
pub trait Accumulator: fmt::Debug + Send {
    /// Takes what one shard said: a value for each partial.
    ///
    /// # Errors
    /// When a value is not of its partial's type, or the result goes beyond its type's range.
    fn add(&mut self, row: &[Option<Value>]) -> Result<(), TypeError>;

    /// The result; `None` is NULL.
    ///
    /// # Errors
    /// When the result goes beyond its type's range.
    fn finish(self: Box<Self>) -> Result<Option<Value>, TypeError>;
}

/// `None` when the rule is not about that function.
type Rule = fn(&Call) -> Option<Result<Merge, TypeError>>;

const RULES: &[Rule] = &[
    distinct::rule,
    count::rule,
    sum::rule,
    average::rule,
    extreme::rule,
    logic::rule,
    bits::rule,
    variance::rule,
    regression::rule,
    collect::rule,
    json::rule,
    ordered_set::rule,
];

// === impl Merge ===

impl Merge {
    /// How a call is merged.
    ///
    /// # Errors
    /// When the function is not known for its arguments.
    pub fn new(call: &Call) -> Result<Self, TypeError> {
        RULES.iter().find_map(|rule| rule(call)).unwrap_or_else(|| Err(call.refusal()))
    }

    fn of<A: Accumulator + 'static>(
        partials: Vec<Partial>,
        result: Type,
        start: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self {
        Self { partials, result, start: Box::new(move || Box::new(start())) }
    }

    /// What takes the call's place in the statement for the shards, in this order.
    pub fn partials(&self) -> &[Partial] {
        &self.partials
    }

    /// The type of the result.
    pub fn result(&self) -> &Type {
        &self.result
    }

    /// The state of a group that no shard has spoken of.
    pub fn start(&self) -> Box<dyn Accumulator> {
        (self.start)()
    }
}

impl fmt::Debug for Merge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (partials, result) = (&self.partials, &self.result);
        f.debug_struct("Merge").field("partials", partials).field("result", result).finish()
    }
}

// === impl Call ===

impl Call {
    fn refusal(&self) -> TypeError {
        let types: Vec<&str> = self.arguments.iter().map(|it| it.data_type.name()).collect();
        let (function, arguments) = (self.function.as_str().into(), types.join(", ").into());
        TypeError::NoMerge { function, arguments }
    }

    /// The only argument.
    fn argument(&self) -> Result<&Argument, TypeError> {
        match self.arguments.as_slice() {
            [argument] => Ok(argument),
            _ => Err(self.refusal()),
        }
    }

    /// `function(arguments)` with the call's filter.
    fn partial(&self, expression: &str, data_type: Type) -> Partial {
        self.partial_where(expression, None, data_type)
    }

    /// The same with one more condition.
    fn partial_where(&self, expression: &str, condition: Option<&str>, data_type: Type) -> Partial {
        let conditions: Vec<String> = self
            .filter
            .as_deref()
            .into_iter()
            .chain(condition)
            .map(|condition| format!("({condition})"))
            .collect();
        let sql = if conditions.is_empty() {
            expression.to_owned()
        } else {
            format!("{expression} FILTER (WHERE {})", conditions.join(" AND "))
        };
        Partial { sql, data_type }
    }
}

// === what accumulators share ===

/// A type that this crate itself defines.
fn builtin(oid: u32) -> Type {
    Type::builtin(oid).expect("the OID is a constant of this crate's table")
}

/// The value of a partial.
fn column(row: &[Option<Value>], place: usize) -> Option<&Value> {
    row.get(place).and_then(Option::as_ref)
}

/// The shard said something of another type than it was asked for.
fn unexpected(function: &'static str) -> TypeError {
    TypeError::WrongValue { what: "a partial result", type_name: function.into() }
}

/// How many rows a shard counted.
fn counted(row: &[Option<Value>], place: usize) -> Result<i64, TypeError> {
    match column(row, place) {
        Some(Value::Int8(count)) => Ok(*count),
        None => Ok(0),
        Some(_) => Err(unexpected("count")),
    }
}

/// A floating-point sum of a shard; 0 where it had no rows.
fn float(row: &[Option<Value>], place: usize) -> Result<f64, TypeError> {
    match column(row, place) {
        Some(Value::Float8(number)) => Ok(*number),
        None => Ok(0.0),
        Some(_) => Err(unexpected("a floating-point aggregate")),
    }
}

const FLOAT_OVERFLOW: TypeError =
    TypeError::Postgres { message: "value out of range: overflow", sqlstate: "22003" };

/// `float8_pl`
fn add_floats(a: f64, b: f64) -> Result<f64, TypeError> {
    let sum = a + b;
    let overflow = sum.is_infinite() && a.is_finite() && b.is_finite();
    if overflow { Err(FLOAT_OVERFLOW) } else { Ok(sum) }
}
