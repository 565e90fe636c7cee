//! An amount of memory written as Postgres writes it: `512kB`, `64MB`, `1GB`.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A setting that counts bytes. As everywhere in Postgres, a `kB` is 1024 of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct ByteSize(pub u64);

/// Why a text is not a [`ByteSize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// There is no text.
    #[error("it is empty")]
    Empty,
    /// It does not begin with digits.
    #[error("a whole number must stand before the unit")]
    NumberMissing,
    /// A number without its unit.
    #[error("a number needs a unit: B, kB, MB, GB or TB")]
    UnitMissing,
    /// What follows the number is no unit.
    #[error("the unit is none of B, kB, MB, GB and TB")]
    UnitUnknown,
    /// More than can be counted.
    #[error("it is more than {} TB", ByteSize::MAX.0 >> 40)]
    TooLarge,
}

/// Largest first: the order in which they are tried for printing.
const UNITS: [(&str, u64); 5] =
    [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10), ("B", 1)];

impl ByteSize {
    /// The largest that is accepted: it fits every integer that counts bytes.
    pub const MAX: Self = Self(1 << 50);

    /// So many times 1024 times 1024 bytes.
    pub const fn mb(count: u64) -> Self {
        Self(count << 20)
    }

    /// How many bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

// === impl FromStr and Display ===

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SizeError::Empty);
        }
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(end);
        if digits.is_empty() {
            return Err(SizeError::NumberMissing);
        }
        let unit = match unit.trim_start() {
            "" => return Err(SizeError::UnitMissing),
            unit => UNITS.iter().find(|(name, _)| *name == unit).ok_or(SizeError::UnitUnknown)?.1,
        };
        let bytes = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(unit));
        bytes.map(Self).filter(|it| *it <= Self::MAX).ok_or(SizeError::TooLarge)
    }
}

impl fmt::Display for ByteSize {
    /// In the largest unit that leaves a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, size): &&(&str, u64)| self.0 >= *size && self.0.is_multiple_of(*size);
        let (name, size) = UNITS.iter().find(fits).unwrap_or(&("B", 1));
        write!(f, "{}{name}", self.0 / size)
    }
}

// === impl Serialize, Deserialize and JsonSchema ===

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"512kB\", \"64MB\" or \"1GB\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

/// The `format` by which a schema marks a [`ByteSize`].
pub(crate) const SIZE_FORMAT: &str = "size";

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "format": SIZE_FORMAT,
            "type": "string",
            "pattern": "^[0-9]+ *(B|kB|MB|GB|TB)$",
        })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::ByteSize;

    #[track_caller]
    fn check(input: &str, expected: Expect) {
        let shown = match input.parse::<ByteSize>() {
            Ok(size) => {
                let text = size.to_string();
                assert_eq!(text.parse(), Ok(size), "{text} parses to another size");
                format!("{text} = {}", size.bytes())
            }
            Err(error) => format!("error: {error}"),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn a_size_is_a_number_with_its_unit() {
        check("64MB", expect!["64MB = 67108864"]);
        check(" 64 MB ", expect!["64MB = 67108864"]);
        check("2048kB", expect!["2MB = 2097152"]);
        check("1500B", expect!["1500B = 1500"]);
        check("0B", expect!["0B = 0"]);
        check("1GB", expect!["1GB = 1073741824"]);
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        check("", expect!["error: it is empty"]);
        check("64", expect!["error: a number needs a unit: B, kB, MB, GB or TB"]);
        check("64mb", expect!["error: the unit is none of B, kB, MB, GB and TB"]);
        check("MB", expect!["error: a whole number must stand before the unit"]);
        check("-1MB", expect!["error: a whole number must stand before the unit"]);
        check("1.5GB", expect!["error: the unit is none of B, kB, MB, GB and TB"]);
        check("99999999999999TB", expect!["error: it is more than 1024 TB"]);
    }
}
