//! Quotients and square roots of numerics, rounded where Postgres rounds them.

use num_bigint::BigUint;

use super::{DEC_DIGITS, Numeric, Sign};

/// Least significant digits of a quotient.
const MIN_SIG_DIGITS: i32 = 16;
/// Most digits after the point that a quotient gets.
const MAX_DISPLAY_SCALE: i32 = 1000;

impl Numeric {
    /// `numeric_div`; `None` for a division by zero.
    pub fn divide(&self, divisor: &Self) -> Option<Self> {
        match (self.sign, divisor.sign) {
            (Sign::NaN, _) | (_, Sign::NaN) => Some(Self::special(Sign::NaN)),
            (Sign::Infinity | Sign::NegativeInfinity, _) => divide_infinity(self, divisor),
            (_, Sign::Infinity | Sign::NegativeInfinity) => Some(Self::zero()),
            _ => self.divide_to(divisor, select_div_scale(self, divisor)),
        }
    }

    /// `div_var` with rounding, for finite numbers; `None` for a division by zero.
    pub(crate) fn divide_to(&self, divisor: &Self, rscale: i32) -> Option<Self> {
        if divisor.digits.is_empty() {
            return None;
        }
        // self/divisor * 10^rscale, rounded half away from zero.
        let (top, top_exponent) = self.integer();
        let (bottom, bottom_exponent) = divisor.integer();
        let shift = (top_exponent - bottom_exponent) * DEC_DIGITS + rscale;
        let power = BigUint::from(10_u32).pow(shift.unsigned_abs());
        let (top, bottom) = if shift >= 0 { (top * power, bottom) } else { (top, bottom * power) };
        let quotient = (top * 2_u32 + &bottom) / (bottom * 2_u32);
        let sign = if self.sign == divisor.sign { Sign::Positive } else { Sign::Negative };
        Some(Self::from_scaled(sign, &quotient, rscale))
    }

    /// `sqrt_var` of a finite number that is not negative.
    pub(crate) fn square_root(&self, rscale: i32) -> Self {
        let (number, exponent) = self.integer();
        // sqrt(n * 10^e) * 10^rscale, with one more digit to round by.
        let shift = exponent * DEC_DIGITS + 2 * (rscale + 1);
        let power = BigUint::from(10_u32).pow(shift.unsigned_abs());
        let scaled = if shift >= 0 { number * power } else { number / power };
        let root = (scaled.sqrt() + 5_u32) / 10_u32;
        Self::from_scaled(Sign::Positive, &root, rscale)
    }

    /// The digits as one integer, and the exponent to the base 10000 that goes with it.
    fn integer(&self) -> (BigUint, i32) {
        let hundreds: Vec<u8> = self
            .digits
            .iter()
            // Each half is below 100.
            .flat_map(|digit| [(digit / 100) as u8, (digit % 100) as u8])
            .collect();
        let number = BigUint::from_radix_be(&hundreds, 100).unwrap_or_default();
        let count = i32::try_from(self.digits.len()).unwrap_or(0);
        (number, self.weight - count + 1)
    }

    /// `number / 10^rscale`
    fn from_scaled(sign: Sign, number: &BigUint, rscale: i32) -> Self {
        // To whole digits of the base after the point.
        let padding = (DEC_DIGITS - rscale.rem_euclid(DEC_DIGITS)) % DEC_DIGITS;
        let number = number * 10_u32.pow(padding.unsigned_abs());
        let after = (rscale + padding).div_euclid(DEC_DIGITS);
        let hundreds = number.to_radix_le(100);
        let mut digits: Vec<i16> = hundreds
            .chunks(2)
            .map(|pair| match *pair {
                [low, high] => i16::from(high) * 100 + i16::from(low),
                [low] => i16::from(low),
                _ => 0,
            })
            .collect();
        digits.reverse();
        let weight = i32::try_from(digits.len()).unwrap_or(0) - 1 - after;
        Self::normalized(sign, weight, rscale, digits)
    }
}

fn divide_infinity(dividend: &Numeric, divisor: &Numeric) -> Option<Numeric> {
    let up = dividend.sign == Sign::Infinity;
    match divisor.sign {
        _ if divisor.is_zero() => None,
        Sign::Positive if up => Some(Numeric::special(Sign::Infinity)),
        Sign::Negative if !up => Some(Numeric::special(Sign::Infinity)),
        Sign::Positive | Sign::Negative => Some(Numeric::special(Sign::NegativeInfinity)),
        _ => Some(Numeric::special(Sign::NaN)),
    }
}

/// `select_div_scale`: at least 16 significant digits, and no fewer than either input shows.
pub(crate) fn select_div_scale(dividend: &Numeric, divisor: &Numeric) -> i32 {
    let first = |it: &Numeric| it.digits.first().copied().unwrap_or(0);
    let weight = |it: &Numeric| if it.digits.is_empty() { 0 } else { it.weight };
    let mut quotient_weight = weight(dividend) - weight(divisor);
    if first(dividend) <= first(divisor) {
        quotient_weight -= 1;
    }
    (MIN_SIG_DIGITS - quotient_weight * DEC_DIGITS)
        .max(dividend.dscale)
        .max(divisor.dscale)
        .clamp(0, MAX_DISPLAY_SCALE)
}
