//! Sums and products of numerics with Postgres's display scales.

use std::cmp::Ordering;

use super::{BASE, DEC_DIGITS, MAX_DSCALE, Numeric, Sign};

impl Numeric {
    /// `numeric_add`
    pub fn add(&self, other: &Self) -> Self {
        if !self.is_finite() || !other.is_finite() {
            return add_special(self.sign, other.sign);
        }
        if self.sign == other.sign {
            return self.combine(other, self.sign, add_digits);
        }
        match self.cmp_magnitude(other) {
            Ordering::Greater => self.combine(other, self.sign, subtract_digits),
            Ordering::Less => other.combine(self, other.sign, subtract_digits),
            Ordering::Equal => Self { dscale: self.dscale.max(other.dscale), ..Self::zero() },
        }
    }

    /// `numeric_sub`
    pub fn subtract(&self, other: &Self) -> Self {
        self.add(&other.negated())
    }

    /// `numeric_uminus`
    pub fn negated(&self) -> Self {
        let sign = match self.sign {
            Sign::Positive if self.digits.is_empty() => Sign::Positive,
            Sign::Positive => Sign::Negative,
            Sign::Negative => Sign::Positive,
            Sign::Infinity => Sign::NegativeInfinity,
            Sign::NegativeInfinity => Sign::Infinity,
            Sign::NaN => Sign::NaN,
        };
        Self { sign, ..self.clone() }
    }

    /// `mul_var`: the exact product of finite numbers, rounded to `rscale` digits after the point.
    pub(crate) fn multiply_finite(&self, other: &Self, rscale: i32) -> Self {
        let (left, right) = (&self.digits, &other.digits);
        let mut sums = vec![0_u64; left.len() + right.len()];
        for (i, &a) in left.iter().enumerate() {
            let row = sums.iter_mut().skip(i + 1);
            for (sum, &b) in row.zip(right) {
                // Room for 10^11 rows of products below 10^8.
                *sum += u64::from(a.unsigned_abs()) * u64::from(b.unsigned_abs());
            }
        }
        let mut carry = 0;
        let base = u64::from(BASE.unsigned_abs());
        let mut digits: Vec<i16> = sums
            .into_iter()
            .rev()
            .map(|sum| {
                let sum = sum + carry;
                carry = sum / base;
                (sum % base) as i16
            })
            .collect();
        digits.reverse();
        let sign = if self.sign == other.sign { Sign::Positive } else { Sign::Negative };
        let exact = Self::normalized(sign, self.weight + other.weight + 1, rscale, digits);
        exact.rounded(rscale)
    }

    /// `numeric_mul`
    pub fn multiply(&self, other: &Self) -> Self {
        if self.is_finite() && other.is_finite() {
            return self.multiply_finite(other, (self.dscale + other.dscale).min(MAX_DSCALE));
        }
        if self.sign == Sign::NaN || other.sign == Sign::NaN || self.is_zero() || other.is_zero() {
            return Self::special(Sign::NaN);
        }
        let negative = |it: &Self| matches!(it.sign, Sign::Negative | Sign::NegativeInfinity);
        Self::special(if negative(self) == negative(other) {
            Sign::Infinity
        } else {
            Sign::NegativeInfinity
        })
    }

    /// `round_var`: half away from zero.
    pub(crate) fn rounded(self, rscale: i32) -> Self {
        let places = (self.weight + 1) * DEC_DIGITS + rscale;
        if places < 0 {
            return Self { dscale: rscale, ..Self::zero() };
        }
        let whole = usize::try_from(places / DEC_DIGITS).unwrap_or_default();
        let decimal = places % DEC_DIGITS;
        if self.digits.len() <= whole {
            return Self { dscale: rscale, ..self };
        }
        let unit = 10_i16.pow((DEC_DIGITS - decimal).unsigned_abs().min(4));
        let mut digits = self.digits;
        digits.truncate(whole + 1);
        let last = digits.pop().unwrap_or(0);
        // With no decimal place kept in it, the digit decides for the one before.
        let half = unit / 2;
        let kept = if decimal == 0 { 0 } else { last / unit * unit };
        let up = last - kept >= half;
        let mut carry = if up { if decimal == 0 { BASE } else { unit } } else { 0 } + kept;
        digits.push(carry % BASE);
        carry /= BASE;
        for digit in digits.iter_mut().rev().skip(1) {
            if carry == 0 {
                break;
            }
            *digit += carry;
            carry = *digit / BASE;
            *digit %= BASE;
        }
        let weight = if carry > 0 {
            digits.insert(0, carry);
            self.weight + 1
        } else {
            self.weight
        };
        Self::normalized(self.sign, weight, rscale, digits)
    }

    /// Both aligned, least significant digit first, through `operation`.
    fn combine(&self, other: &Self, sign: Sign, operation: fn(i16, i16, &mut i16) -> i16) -> Self {
        let low = |it: &Self| it.weight - i32::try_from(it.digits.len()).unwrap_or(0) + 1;
        let lowest = low(self).min(low(other));
        let highest = self.weight.max(other.weight) + 1;
        let mut carry = 0;
        let mut digits: Vec<i16> = (lowest..=highest)
            .map(|place| operation(self.digit_at(place), other.digit_at(place), &mut carry))
            .collect();
        digits.reverse();
        Self::normalized(sign, highest, self.dscale.max(other.dscale), digits)
    }
}

fn add_digits(a: i16, b: i16, carry: &mut i16) -> i16 {
    let sum = a + b + *carry;
    *carry = sum / BASE;
    sum % BASE
}

fn subtract_digits(a: i16, b: i16, borrow: &mut i16) -> i16 {
    let difference = a - b - *borrow;
    *borrow = i16::from(difference < 0);
    if difference < 0 { difference + BASE } else { difference }
}

fn add_special(left: Sign, right: Sign) -> Numeric {
    let infinite = |sign| matches!(sign, Sign::Infinity | Sign::NegativeInfinity);
    Numeric::special(match (left, right) {
        (Sign::NaN, _) | (_, Sign::NaN) => Sign::NaN,
        (left, right) if infinite(left) && infinite(right) && left != right => Sign::NaN,
        (left, _) if infinite(left) => left,
        (_, right) => right,
    })
}
