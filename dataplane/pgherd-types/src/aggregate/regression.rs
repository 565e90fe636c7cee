//! `corr`, `covar_*` and `regr_*`: the sums of Youngs and Cramer, merged as Postgres merges those of
//! parallel workers.

use super::{Accumulator, Call, FLOAT_OVERFLOW, Merge, add_floats, builtin, counted, float};
use crate::{TypeError, Value, oid};

/// What of the state is wanted: NULL, or a number.
type Final = fn(&State) -> Option<f64>;

/// Functions of two numbers, by name.
const FUNCTIONS: &[(&str, Final)] = &[
    ("regr_sxx", |s| (s.n >= 1.0).then_some(s.sxx)),
    ("regr_syy", |s| (s.n >= 1.0).then_some(s.syy)),
    ("regr_sxy", |s| (s.n >= 1.0).then_some(s.sxy)),
    ("regr_avgx", |s| (s.n >= 1.0).then_some(s.sx / s.n)),
    ("regr_avgy", |s| (s.n >= 1.0).then_some(s.sy / s.n)),
    ("covar_pop", |s| (s.n >= 1.0).then_some(s.sxy / s.n)),
    ("covar_samp", |s| (s.n >= 2.0).then_some(s.sxy / (s.n - 1.0))),
    ("corr", |s| {
        let level = s.sxx == 0.0 || s.syy == 0.0;
        (s.n >= 1.0 && !level).then(|| s.sxy / (s.sxx * s.syy).sqrt())
    }),
    ("regr_r2", |s| match () {
        () if s.n < 1.0 || s.sxx == 0.0 => None,
        () if s.syy == 0.0 => Some(1.0),
        () => Some((s.sxy * s.sxy) / (s.sxx * s.syy)),
    }),
    ("regr_slope", |s| (s.n >= 1.0 && s.sxx != 0.0).then_some(s.sxy / s.sxx)),
    ("regr_intercept", |s| {
        (s.n >= 1.0 && s.sxx != 0.0).then_some((s.sy - s.sx * s.sxy / s.sxx) / s.n)
    }),
];

#[derive(Clone, Copy, Debug, Default)]
struct State {
    n: f64,
    sx: f64,
    sxx: f64,
    sy: f64,
    syy: f64,
    sxy: f64,
}

#[derive(Debug)]
struct Regression {
    finish: Final,
    state: State,
}

#[derive(Debug, Default)]
struct Count(i64);

pub(super) fn rule(call: &Call) -> Option<Result<Merge, TypeError>> {
    let function = call.function.to_ascii_lowercase();
    let [y, x] = call.arguments.as_slice() else { return None };
    let (y, x) = (&y.sql, &x.sql);
    let count = call.partial(&format!("regr_count({y}, {x})"), builtin(oid::INT8));
    if function == "regr_count" {
        return Some(Ok(Merge::of(vec![count], builtin(oid::INT8), Count::default)));
    }
    let (_, finish) = FUNCTIONS.iter().find(|(name, _)| *name == function)?;
    let number = || builtin(oid::FLOAT8);
    // Rows count only where both are there.
    let sum = |of: &str, other: &str| {
        let condition = format!("({other}) IS NOT NULL");
        call.partial_where(&format!("sum(({of})::float8)"), Some(&condition), number())
    };
    let pair = |name: &str| call.partial(&format!("{name}({y}, {x})"), number());
    let partials =
        vec![count, sum(x, y), pair("regr_sxx"), sum(y, x), pair("regr_syy"), pair("regr_sxy")];
    let finish = *finish;
    let start = move || Regression { finish, state: State::default() };
    Some(Ok(Merge::of(partials, number(), start)))
}

impl State {
    /// `float8_regr_combine`
    fn merge(self, other: Self) -> Result<Self, TypeError> {
        if self.n == 0.0 {
            return Ok(other);
        }
        if other.n == 0.0 {
            return Ok(self);
        }
        let n = self.n + other.n;
        let x_apart = self.sx / self.n - other.sx / other.n;
        let y_apart = self.sy / self.n - other.sy / other.n;
        let spread = |a: f64, b: f64, apart: f64, other_apart: f64| {
            let sum = a + b + self.n * other.n * apart * other_apart / n;
            let overflow = sum.is_infinite() && !a.is_infinite() && !b.is_infinite();
            if overflow { Err(FLOAT_OVERFLOW) } else { Ok(sum) }
        };
        Ok(Self {
            n,
            sx: add_floats(self.sx, other.sx)?,
            sxx: spread(self.sxx, other.sxx, x_apart, x_apart)?,
            sy: add_floats(self.sy, other.sy)?,
            syy: spread(self.syy, other.syy, y_apart, y_apart)?,
            sxy: spread(self.sxy, other.sxy, x_apart, y_apart)?,
        })
    }
}

impl Accumulator for Regression {
    fn add(&mut self, row: &[Option<Value>]) -> Result<(), TypeError> {
        let shard = State {
            n: counted(row, 0)? as f64,
            sx: float(row, 1)?,
            sxx: float(row, 2)?,
            sy: float(row, 3)?,
            syy: float(row, 4)?,
            sxy: float(row, 5)?,
        };
        self.state = self.state.merge(shard)?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Option<Value>, TypeError> {
        Ok((self.finish)(&self.state).map(Value::Float8))
    }
}

impl Accumulator for Count {
    fn add(&mut self, row: &[Option<Value>]) -> Result<(), TypeError> {
        self.0 += counted(row, 0)?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Option<Value>, TypeError> {
        Ok(Some(Value::Int8(self.0)))
    }
}
