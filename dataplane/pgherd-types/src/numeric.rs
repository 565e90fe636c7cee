//! `numeric` as Postgres holds it: digits to the base 10000, a weight, and a display scale.

use std::cmp::Ordering;

use crate::binary::Cursor;

mod arithmetic;
mod division;

pub(crate) use division::select_div_scale;

/// The base of the digits.
const BASE: i16 = 10_000;
/// Decimal digits in one of them.
const DEC_DIGITS: i32 = 4;
/// Postgres's limit for digits after the point.
const MAX_DSCALE: i32 = 0x3FFF;

/// An exact number of any size. Two that are equal may differ in their display scale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numeric {
    sign: Sign,
    /// The exponent of the first digit, to the base 10000.
    weight: i32,
    /// Decimal digits shown after the point.
    dscale: i32,
    /// Most significant first, without zeros at either end; empty for zero.
    digits: Vec<i16>,
}

/// Sign, or what is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    Positive,
    Negative,
    NaN,
    Infinity,
    NegativeInfinity,
}

// === impl Numeric ===

impl Numeric {
    /// Zero without digits after the point.
    pub fn zero() -> Self {
        Self { sign: Sign::Positive, weight: 0, dscale: 0, digits: Vec::new() }
    }

    /// `NaN`, `Infinity` or `-Infinity`.
    pub fn special(sign: Sign) -> Self {
        Self { sign, ..Self::zero() }
    }

    /// Removes zeros at both ends, as `make_result` does.
    fn normalized(sign: Sign, weight: i32, dscale: i32, mut digits: Vec<i16>) -> Self {
        while digits.last() == Some(&0) {
            digits.pop();
        }
        let leading = digits.iter().take_while(|&&digit| digit == 0).count();
        digits.drain(..leading);
        if digits.is_empty() {
            return Self { dscale, ..Self::zero() };
        }
        let leading = i32::try_from(leading).unwrap_or(i32::MAX);
        Self { sign, weight: weight - leading, dscale, digits }
    }

    /// Sign or special value.
    pub fn sign(&self) -> Sign {
        self.sign
    }

    /// The exponent of the first digit, to the base 10000.
    pub fn weight(&self) -> i32 {
        self.weight
    }

    /// Decimal digits shown after the point.
    pub fn scale(&self) -> i32 {
        self.dscale
    }

    /// The digits to the base 10000, without zeros at either end.
    pub fn digits(&self) -> &[i16] {
        &self.digits
    }

    /// Whether it is neither NaN nor infinite.
    pub fn is_finite(&self) -> bool {
        matches!(self.sign, Sign::Positive | Sign::Negative)
    }

    /// Whether it is zero, at any scale.
    pub fn is_zero(&self) -> bool {
        self.is_finite() && self.digits.is_empty()
    }

    /// The number without digits after the point, if it fits.
    pub fn to_i128(&self) -> Option<i128> {
        if !self.is_finite() {
            return None;
        }
        let count = usize::try_from(self.weight + 1).ok()?;
        if self.digits.len() > count {
            return None;
        }
        let padding = std::iter::repeat_n(&0, count - self.digits.len());
        let magnitude = self.digits.iter().chain(padding).try_fold(0_i128, |sum, &digit| {
            sum.checked_mul(i128::from(BASE))?.checked_add(i128::from(digit))
        })?;
        Some(if self.sign == Sign::Negative { -magnitude } else { magnitude })
    }

    /// Reads the text that Postgres writes, and plain decimal numbers.
    pub fn from_text(text: &[u8]) -> Option<Self> {
        match text {
            b"NaN" => return Some(Self::special(Sign::NaN)),
            b"Infinity" => return Some(Self::special(Sign::Infinity)),
            b"-Infinity" => return Some(Self::special(Sign::NegativeInfinity)),
            _ => {}
        }
        let (sign, text) = match text.split_first()? {
            (b'-', rest) => (Sign::Negative, rest),
            (b'+', rest) => (Sign::Positive, rest),
            _ => (Sign::Positive, text),
        };
        let mut halves = text.splitn(2, |&byte| byte == b'.');
        let (whole, fraction) = (halves.next()?, halves.next().unwrap_or_default());
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let dscale = i32::try_from(fraction.len()).ok().filter(|&scale| scale <= MAX_DSCALE)?;
        let first = whole.len().div_ceil(4);
        let mut digits = Vec::with_capacity(first + fraction.len().div_ceil(4));
        let (head, rest) = whole.split_at(whole.len() % 4);
        if !head.is_empty() {
            digits.push(four_digits(head)?);
        }
        for group in rest.chunks(4) {
            digits.push(four_digits(group)?);
        }
        for group in fraction.chunks(4) {
            let missing = 4_u32.saturating_sub(u32::try_from(group.len()).ok()?);
            digits.push(four_digits(group)? * 10_i16.pow(missing));
        }
        let weight = i32::try_from(first).ok()? - 1;
        Some(Self::normalized(sign, weight, dscale, digits))
    }

    /// Writes the text that Postgres writes.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        match self.sign {
            Sign::NaN => return out.extend_from_slice(b"NaN"),
            Sign::Infinity => return out.extend_from_slice(b"Infinity"),
            Sign::NegativeInfinity => return out.extend_from_slice(b"-Infinity"),
            Sign::Negative => out.push(b'-'),
            Sign::Positive => {}
        }
        if self.weight < 0 || self.digits.is_empty() {
            out.push(b'0');
        }
        for place in (0..=self.weight).rev().filter(|_| !self.digits.is_empty()) {
            let start = out.len();
            push_four(self.digit_at(place), out);
            if place == self.weight {
                let zeros = out.iter().skip(start).take_while(|&&byte| byte == b'0').count();
                out.drain(start..start + zeros.min(3));
            }
        }
        if self.dscale > 0 {
            out.push(b'.');
            let end = out.len() + usize::try_from(self.dscale).unwrap_or_default();
            let mut place = -1;
            while out.len() < end {
                push_four(self.digit_at(place), out);
                place -= 1;
            }
            out.truncate(end);
        }
    }

    /// Reads what `numeric_send` gives.
    pub fn from_binary(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let count = cursor.u16()?;
        let weight = i32::from(cursor.i16()?);
        let sign = match cursor.u16()? {
            0x0000 => Sign::Positive,
            0x4000 => Sign::Negative,
            0xC000 => Sign::NaN,
            0xD000 => Sign::Infinity,
            0xF000 => Sign::NegativeInfinity,
            _ => return None,
        };
        let dscale = i32::from(cursor.u16()?);
        if dscale > MAX_DSCALE || cursor.0.len() != usize::from(count) * 2 {
            return None;
        }
        if !matches!(sign, Sign::Positive | Sign::Negative) {
            return Some(Self::special(sign));
        }
        let mut digits = Vec::with_capacity(usize::from(count));
        while let Some(digit) = cursor.i16() {
            digits.push(Some(digit).filter(|digit| (0..BASE).contains(digit))?);
        }
        Some(Self::normalized(sign, weight, dscale, digits))
    }

    /// Writes what `numeric_send` gives; `None` when the number is too large for it.
    pub fn write_binary(&self, out: &mut Vec<u8>) -> Option<()> {
        let sign: u16 = match self.sign {
            Sign::Positive => 0x0000,
            Sign::Negative => 0x4000,
            Sign::NaN => 0xC000,
            Sign::Infinity => 0xD000,
            Sign::NegativeInfinity => 0xF000,
        };
        let dscale = match self.sign {
            // What Postgres keeps in the header of these.
            Sign::Infinity | Sign::NegativeInfinity => 0x20,
            _ => u16::try_from(self.dscale).ok()?,
        };
        out.extend(u16::try_from(self.digits.len()).ok()?.to_be_bytes());
        out.extend(i16::try_from(self.weight).ok()?.to_be_bytes());
        out.extend(sign.to_be_bytes());
        out.extend(dscale.to_be_bytes());
        out.extend(self.digits.iter().flat_map(|digit| digit.to_be_bytes()));
        Some(())
    }

    /// The digit with this exponent.
    fn digit_at(&self, place: i32) -> i16 {
        let index = usize::try_from(self.weight - place).ok();
        index.and_then(|index| self.digits.get(index)).copied().unwrap_or(0)
    }

    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            // Without zeros at the ends the slices compare as the numbers do.
            (false, false) => {
                self.weight.cmp(&other.weight).then_with(|| self.digits.cmp(&other.digits))
            }
        }
    }

    /// The order of the btree: NaN equals itself and is above everything.
    pub fn compare(&self, other: &Self) -> Ordering {
        fn class(sign: Sign) -> u8 {
            match sign {
                Sign::NegativeInfinity => 0,
                Sign::Positive | Sign::Negative => 1,
                Sign::Infinity => 2,
                Sign::NaN => 3,
            }
        }
        match class(self.sign).cmp(&class(other.sign)) {
            Ordering::Equal => match (self.sign, other.sign) {
                (Sign::Positive, Sign::Positive) => self.cmp_magnitude(other),
                (Sign::Negative, Sign::Negative) => other.cmp_magnitude(self),
                (Sign::Negative, Sign::Positive) => Ordering::Less,
                (Sign::Positive, Sign::Negative) => Ordering::Greater,
                _ => Ordering::Equal,
            },
            order => order,
        }
    }
}

impl From<i128> for Numeric {
    fn from(number: i128) -> Self {
        let sign = if number < 0 { Sign::Negative } else { Sign::Positive };
        let mut rest = number.unsigned_abs();
        let mut digits = Vec::new();
        while rest > 0 {
            // Below 10000.
            digits.push((rest % 10_000) as i16);
            rest /= 10_000;
        }
        digits.reverse();
        let weight = i32::try_from(digits.len()).unwrap_or(0) - 1;
        Self::normalized(sign, weight, 0, digits)
    }
}

fn four_digits(group: &[u8]) -> Option<i16> {
    group.iter().try_fold(0_i16, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + i16::from(byte - b'0'))
    })
}

fn push_four(digit: i16, out: &mut Vec<u8>) {
    let digit = digit.unsigned_abs();
    for power in [1000, 100, 10, 1] {
        // One decimal digit.
        out.push(b'0' + (digit / power % 10) as u8);
    }
}
