//! `interval`: months, days and microseconds, which only meet when two are compared.

use std::cmp::Ordering;

use crate::binary::Cursor;
use crate::calendar::{Scanner, USECS_PER_DAY, USECS_PER_SEC, write_fraction};

/// A span of time. The infinities (since Postgres 17) have all parts at their limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
}

// === impl Interval ===

impl Interval {
    /// `infinity`
    pub const INFINITY: Self = Self { months: i32::MAX, days: i32::MAX, micros: i64::MAX };
    /// `-infinity`
    pub const NEGATIVE_INFINITY: Self = Self { months: i32::MIN, days: i32::MIN, micros: i64::MIN };

    /// Whether it is one of the infinities.
    pub fn is_finite(self) -> bool {
        self != Self::INFINITY && self != Self::NEGATIVE_INFINITY
    }

    /// `interval_cmp_value`: a month has 30 days, a day 24 hours.
    pub fn span(self) -> i128 {
        let days = i128::from(self.months) * 30 + i128::from(self.days);
        days * i128::from(USECS_PER_DAY) + i128::from(self.micros)
    }

    /// The order of the btree.
    pub fn compare(self, other: Self) -> Ordering {
        self.span().cmp(&other.span())
    }

    /// `interval_pl`; `None` when it is out of range.
    pub fn plus(self, other: Self) -> Option<Self> {
        match (self.is_finite(), other.is_finite()) {
            (true, true) => {}
            (false, true) => return Some(self),
            (true, false) => return Some(other),
            (false, false) => return (self == other).then_some(self),
        }
        let sum = Self {
            months: self.months.checked_add(other.months)?,
            days: self.days.checked_add(other.days)?,
            micros: self.micros.checked_add(other.micros)?,
        };
        sum.is_finite().then_some(sum)
    }

    /// `interval_div`, in floating point as Postgres does it; `None` when it is out of range.
    pub fn divide(self, factor: f64) -> Option<Self> {
        if !self.is_finite() {
            return Some(if factor < 0.0 {
                if self == Self::INFINITY { Self::NEGATIVE_INFINITY } else { Self::INFINITY }
            } else {
                self
            });
        }
        let round = |number: f64| (number * 1e6).round_ties_even() / 1e6;
        let (month_quotient, day_quotient) =
            (f64::from(self.months) / factor, f64::from(self.days) / factor);
        let months = whole(month_quotient)?;
        let mut days = whole(day_quotient)?;
        let rest_days = round((month_quotient - f64::from(months)) * 30.0);
        let whole_rest = whole(rest_days)?;
        let mut seconds =
            round((day_quotient - f64::from(days) + rest_days - f64::from(whole_rest)) * 86_400.0);
        if seconds.abs() >= 86_400.0 {
            let more = whole(seconds / 86_400.0)?;
            days = days.checked_add(more)?;
            seconds -= f64::from(more) * 86_400.0;
        }
        let days = days.checked_add(whole_rest)?;
        let micros = (self.micros as f64 / factor + seconds * 1e6).round_ties_even();
        let fits = micros >= i64::MIN as f64 && micros < i64::MAX as f64;
        fits.then_some(Self { months, days, micros: micros as i64 })
    }

    /// Reads text of `IntervalStyle = postgres`.
    pub fn from_text(text: &[u8]) -> Option<Self> {
        match text {
            b"infinity" => return Some(Self::INFINITY),
            b"-infinity" => return Some(Self::NEGATIVE_INFINITY),
            _ => {}
        }
        let mut interval = Self::default();
        for word in Words(text) {
            let (number, unit) = word?;
            if unit.is_empty() {
                interval.micros = read_time(number)?;
                continue;
            }
            let number: i32 = std::str::from_utf8(number).ok()?.parse().ok()?;
            match unit.strip_suffix(b"s").unwrap_or(unit) {
                b"year" => {
                    interval.months = interval.months.checked_add(number.checked_mul(12)?)?
                }
                b"mon" => interval.months = interval.months.checked_add(number)?,
                b"day" => interval.days = number,
                _ => return None,
            }
        }
        Some(interval)
    }

    /// Writes text of `IntervalStyle = postgres`.
    pub fn write_text(self, out: &mut Vec<u8>) {
        if !self.is_finite() {
            let text: &[u8] = if self == Self::INFINITY { b"infinity" } else { b"-infinity" };
            return out.extend_from_slice(text);
        }
        let (mut first, mut before) = (true, false);
        for (number, unit) in
            [(self.months / 12, "year"), (self.months % 12, "mon"), (self.days, "day")]
        {
            if number != 0 {
                let gap = if first { "" } else { " " };
                let plus = if before && number > 0 { "+" } else { "" };
                let plural = if number == 1 { "" } else { "s" };
                out.extend(format!("{gap}{plus}{number} {unit}{plural}").as_bytes());
                (first, before) = (false, number < 0);
            }
        }
        if first || self.micros != 0 {
            let gap = if first { "" } else { " " };
            let sign = match (self.micros < 0, before) {
                (true, _) => "-",
                (false, true) => "+",
                (false, false) => "",
            };
            let micros = self.micros.unsigned_abs();
            let seconds = micros / 1_000_000;
            let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            out.extend(format!("{gap}{sign}{hours:02}:{minutes:02}:{seconds:02}").as_bytes());
            // Below a million.
            write_fraction((micros % 1_000_000) as i64, out);
        }
    }

    pub(crate) fn from_binary(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let (micros, days, months) = (cursor.i64()?, cursor.i32()?, cursor.i32()?);
        cursor.is_empty().then_some(Self { months, days, micros })
    }

    pub(crate) fn write_binary(self, out: &mut Vec<u8>) {
        out.extend(self.micros.to_be_bytes());
        out.extend(self.days.to_be_bytes());
        out.extend(self.months.to_be_bytes());
    }
}

/// The number without its fraction, if it fits.
fn whole(number: f64) -> Option<i32> {
    let fits = number.trunc() >= f64::from(i32::MIN) && number.trunc() <= f64::from(i32::MAX);
    fits.then_some(number as i32)
}

/// Numbers with their units; a time of day has none.
struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = Option<(&'a [u8], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let mut parts = self.0.splitn(3, |&byte| byte == b' ');
        let number = parts.next().unwrap_or_default();
        if number.contains(&b':') {
            self.0 = self.0.get(number.len() + 1..).unwrap_or_default();
            return Some(Some((number, b"")));
        }
        let unit = parts.next().unwrap_or_default();
        self.0 = parts.next().unwrap_or_default();
        Some((!unit.is_empty()).then_some((number, unit)))
    }
}

/// Hours without limit, so that the calendar's time of day does not do.
fn read_time(text: &[u8]) -> Option<i64> {
    let (negative, text) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let mut scanner = Scanner(text);
    let hours = scanner.number()?;
    scanner.expect(b":")?;
    let minutes = scanner.number()?;
    scanner.expect(b":")?;
    let seconds = scanner.number()?;
    let fraction = scanner.fraction()?;
    scanner.end()?;
    let seconds = i128::from(hours) * 3600 + i128::from(minutes) * 60 + i128::from(seconds);
    let micros = seconds * i128::from(USECS_PER_SEC) + i128::from(fraction);
    i64::try_from(if negative { -micros } else { micros }).ok()
}
