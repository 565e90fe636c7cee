//! A length of time written as Postgres and humans write it: `500ms`, `5s`, `2m`, `1h30m`.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration setting. `0s` means "no limit" wherever a setting says so.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Period(pub Duration);

/// Why a text is not a [`Period`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// There is no text.
    #[error("it is empty")]
    Empty,
    /// A number is not followed by its unit.
    #[error("a number needs a unit: us, ms, s, m, h or d")]
    UnitMissing,
    /// The letters after a number are no unit.
    #[error("the unit is none of us, ms, s, m, h and d")]
    UnitUnknown,
    /// A unit or something else stands where a number should.
    #[error("a whole number must stand before each unit")]
    NumberMissing,
    /// Units are repeated or stand before larger ones, as in `5s1h`.
    #[error("units must go from the largest to the smallest, each once")]
    Order,
    /// Longer than [`Period::MAX`].
    #[error("it is longer than {days} days", days = Period::MAX.as_secs() / 86_400)]
    TooLong,
}

/// Largest first: the order in which they are printed and must be written.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

impl Period {
    /// The longest period that is accepted: far beyond any use, and safe to add to a clock.
    pub const MAX: Duration = Duration::from_secs(3_650 * 86_400);

    /// A period of whole seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// A period of whole milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// `None` for zero, which stands for "no limit".
    pub fn limit(self) -> Option<Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }
}

// === impl FromStr and Display ===

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let mut rest = text.trim();
        match rest {
            "" => return Err(PeriodError::Empty),
            "0" => return Ok(Self::default()),
            _ => {}
        }
        let mut micros: u64 = 0;
        let mut smallest = u64::MAX;
        while !rest.is_empty() {
            let (digits, tail) = split_where(rest, |c| !c.is_ascii_digit());
            if digits.is_empty() {
                return Err(PeriodError::NumberMissing);
            }
            let (unit, tail) = split_where(tail, |c| !c.is_ascii_alphabetic());
            if unit.is_empty() {
                return Err(if tail.is_empty() {
                    PeriodError::UnitMissing
                } else {
                    PeriodError::NumberMissing
                });
            }
            let size = unit_size(unit).ok_or(PeriodError::UnitUnknown)?;
            if size >= smallest {
                return Err(PeriodError::Order);
            }
            smallest = size;
            micros = digits
                .parse::<u64>()
                .ok()
                .and_then(|count| count.checked_mul(size))
                .and_then(|part| micros.checked_add(part))
                .ok_or(PeriodError::TooLong)?;
            rest = tail;
        }
        let duration = Duration::from_micros(micros);
        if duration > Self::MAX { Err(PeriodError::TooLong) } else { Ok(Self(duration)) }
    }
}

fn split_where(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

fn unit_size(unit: &str) -> Option<u64> {
    // Postgres writes minutes as `min`.
    let unit = if unit == "min" { "m" } else { unit };
    UNITS.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size)
}

impl fmt::Display for Period {
    /// The shortest form that parses back to the same period, to the microsecond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut micros = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        if micros == 0 {
            return f.write_str("0s");
        }
        for (name, size) in UNITS {
            if micros >= size {
                write!(f, "{}{name}", micros / size)?;
                micros %= size;
            }
        }
        Ok(())
    }
}

// === impl Serialize, Deserialize and JsonSchema ===

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PeriodVisitor)
    }
}

struct PeriodVisitor;

impl de::Visitor<'_> for PeriodVisitor {
    type Value = Period;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"500ms\", \"5s\" or \"1h30m\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Period, E> {
        match number {
            0 => Ok(Period::default()),
            _ => Err(E::custom(PeriodError::UnitMissing)),
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Period, E> {
        match number {
            0 => Ok(Period::default()),
            _ => Err(E::custom(PeriodError::UnitMissing)),
        }
    }
}

/// The `format` by which a schema marks a [`Period`].
pub(crate) const PERIOD_FORMAT: &str = "period";

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "format": PERIOD_FORMAT,
            "anyOf": [
                { "type": "string", "pattern": "^([0-9]+(d|h|m|min|s|ms|us))+$|^0$" },
                { "const": 0 },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::Period;

    #[track_caller]
    fn check(input: &str, expected: Expect) {
        let shown = match input.parse::<Period>() {
            Ok(period) => {
                let text = period.to_string();
                assert_eq!(text.parse(), Ok(period), "{text} parses to another period");
                text
            }
            Err(error) => format!("error: {error}"),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn a_period_has_units_from_the_largest_to_the_smallest() {
        check("500ms", expect!["500ms"]);
        check("5s", expect!["5s"]);
        check("2m", expect!["2m"]);
        check("2min", expect!["2m"]);
        check("1h30m", expect!["1h30m"]);
        check("90m", expect!["1h30m"]);
        check("1500ms", expect!["1s500ms"]);
        check("250us", expect!["250us"]);
        check("36h", expect!["1d12h"]);
        check("0", expect!["0s"]);
        check("0ms", expect!["0s"]);
        check(" 5s ", expect!["5s"]);
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        check("", expect!["error: it is empty"]);
        check("5", expect!["error: a number needs a unit: us, ms, s, m, h or d"]);
        check("1h5", expect!["error: a number needs a unit: us, ms, s, m, h or d"]);
        check("5 s", expect!["error: a whole number must stand before each unit"]);
        check("-5s", expect!["error: a whole number must stand before each unit"]);
        check("1.5s", expect!["error: a whole number must stand before each unit"]);
        check("s", expect!["error: a whole number must stand before each unit"]);
        check("5seconds", expect!["error: the unit is none of us, ms, s, m, h and d"]);
        check("5s1h", expect!["error: units must go from the largest to the smallest, each once"]);
        check("5s5s", expect!["error: units must go from the largest to the smallest, each once"]);
        check("99999999999999999999d", expect!["error: it is longer than 3650 days"]);
        check("3651d", expect!["error: it is longer than 3650 days"]);
    }
}
