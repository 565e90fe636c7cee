//! `stddev` and `variance` with their kin: exact for integers and numerics, by Youngs and Cramer
//! for floating-point numbers, as Postgres merges the states of parallel workers.

use super::{
    Accumulator, Call, FLOAT_OVERFLOW, Merge, add_floats, builtin, column, counted, float,
    unexpected,
};
use crate::numeric::select_div_scale;
use crate::{Kind, Numeric, Sign, TypeError, Value, oid};

/// Which of the four is wanted.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    sample: bool,
    root: bool,
}

pub(super) fn rule(call: &Call) -> Option<Result<Merge, TypeError>> {
    let (sample, root) = match call.function.to_ascii_lowercase().as_str() {
        "variance" | "var_samp" => (true, false),
        "var_pop" => (false, false),
        "stddev" | "stddev_samp" => (true, true),
        "stddev_pop" => (false, true),
        _ => return None,
    };
    Some(merge(call, Wanted { sample, root }))
}

fn merge(call: &Call, wanted: Wanted) -> Result<Merge, TypeError> {
    let argument = call.argument()?;
    let sql = &argument.sql;
    let count = call.partial(&format!("count({sql})"), builtin(oid::INT8));
    match argument.data_type.base().kind() {
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Numeric => {
            let numeric = builtin(oid::NUMERIC);
            let partials = vec![
                count,
                call.partial(&format!("sum(({sql})::numeric)"), numeric.clone()),
                call.partial(&format!("sum(({sql})::numeric * ({sql})::numeric)"), numeric.clone()),
            ];
            let start =
                move || Exact { wanted, count: 0, sum: Numeric::zero(), squares: Numeric::zero() };
            Ok(Merge::of(partials, numeric, start))
        }
        Kind::Float4 | Kind::Float8 => {
            let float = builtin(oid::FLOAT8);
            let number = format!("({sql})::float8");
            let partials = vec![
                count,
                call.partial(&format!("sum({number})"), float.clone()),
                // Sxx of the same algorithm, which no other function shows.
                call.partial(&format!("regr_sxx({number}, {number})"), float.clone()),
            ];
            Ok(Merge::of(partials, float, move || Floating { wanted, state: Moments::default() }))
        }
        _ => Err(call.refusal()),
    }
}

#[derive(Debug)]
struct Exact {
    wanted: Wanted,
    count: i64,
    sum: Numeric,
    squares: Numeric,
}

impl Accumulator for Exact {
    fn add(&mut self, row: &[Option<Value>]) -> Result<(), TypeError> {
        self.count += counted(row, 0)?;
        for (place, state) in [(1, &mut self.sum), (2, &mut self.squares)] {
            match column(row, place) {
                None => {}
                Some(Value::Numeric(number)) => *state = state.add(number),
                Some(_) => return Err(unexpected("variance")),
            }
        }
        Ok(())
    }

    /// `numeric_stddev_internal`
    fn finish(self: Box<Self>) -> Result<Option<Value>, TypeError> {
        let Self { wanted, count, sum, squares } = *self;
        if count == 0 || (wanted.sample && count <= 1) {
            return Ok(None);
        }
        if !sum.is_finite() || !squares.is_finite() {
            return Ok(Some(Value::Numeric(Numeric::special(Sign::NaN))));
        }
        let number = Numeric::from(i128::from(count));
        let rscale = sum.scale() * 2;
        let spread =
            number.multiply_finite(&squares, rscale).subtract(&sum.multiply_finite(&sum, rscale));
        // Rounding cannot make it negative here, but Postgres asks, too.
        if spread.is_zero() || spread.sign() == Sign::Negative {
            return Ok(Some(Value::Numeric(Numeric::zero())));
        }
        let other = Numeric::from(i128::from(count) - i128::from(wanted.sample));
        let divisor = number.multiply_finite(&other, 0);
        let rscale = select_div_scale(&spread, &divisor);
        let variance = spread.divide_to(&divisor, rscale).ok_or_else(|| unexpected("variance"))?;
        let result = if wanted.root { variance.square_root(rscale) } else { variance };
        Ok(Some(Value::Numeric(result)))
    }
}

/// Count, sum, and sum of squared differences.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    /// `float8_combine`
    fn merge(self, other: Self) -> Result<Self, TypeError> {
        if self.count == 0.0 {
            return Ok(other);
        }
        if other.count == 0.0 {
            return Ok(self);
        }
        let count = self.count + other.count;
        let sum = add_floats(self.sum, other.sum)?;
        let apart = self.sum / self.count - other.sum / other.count;
        let squares =
            self.squares + other.squares + self.count * other.count * apart * apart / count;
        if squares.is_infinite() && !self.squares.is_infinite() && !other.squares.is_infinite() {
            return Err(FLOAT_OVERFLOW);
        }
        Ok(Self { count, sum, squares })
    }
}

#[derive(Debug)]
struct Floating {
    wanted: Wanted,
    state: Moments,
}

impl Accumulator for Floating {
    fn add(&mut self, row: &[Option<Value>]) -> Result<(), TypeError> {
        let count = counted(row, 0)? as f64;
        let shard = Moments { count, sum: float(row, 1)?, squares: float(row, 2)? };
        self.state = self.state.merge(shard)?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Option<Value>, TypeError> {
        let Moments { count, squares, .. } = self.state;
        let divisor = if self.wanted.sample { count - 1.0 } else { count };
        if divisor <= 0.0 {
            return Ok(None);
        }
        let variance = squares / divisor;
        Ok(Some(Value::Float8(if self.wanted.root { variance.sqrt() } else { variance })))
    }
}
