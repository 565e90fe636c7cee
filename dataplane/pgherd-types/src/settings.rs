//! The session parameters that decide how values look as text.

use std::fmt;

use crate::zone::Zone;

/// The two formats of values in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// What the type's output function gives.
    Text,
    /// What the type's send function gives.
    Binary,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Binary => "binary",
        })
    }
}

/// The first word of `DateStyle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateStyle {
    /// `1997-12-17 07:37:16-08`
    Iso,
    /// `12/17/1997 07:37:16.00 PST`
    Sql,
    /// `Wed Dec 17 07:37:16 1997 PST`
    Postgres,
    /// `17.12.1997 07:37:16.00 PST`
    German,
}

/// The second word of `DateStyle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateOrder {
    /// Month, day, year.
    Mdy,
    /// Day, month, year.
    Dmy,
    /// Year, month, day; written as month, day, year.
    Ymd,
}

/// `IntervalStyle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntervalStyle {
    /// `1 year 2 mons 3 days 04:05:06`
    Postgres,
    /// Any other one, which is not read or written.
    Other,
}

/// `bytea_output`; both are read, whatever this says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteaOutput {
    /// `\xDEADBEEF`
    Hex,
    /// Octal escapes.
    Escape,
}

/// The parameters of one session; the default is Postgres's, with `TimeZone = 'UTC'`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `DateStyle`
    pub date_style: DateStyle,
    /// `DateStyle`
    pub date_order: DateOrder,
    /// `IntervalStyle`
    pub interval_style: IntervalStyle,
    /// `bytea_output`
    pub bytea_output: ByteaOutput,
    /// `extra_float_digits`
    pub extra_float_digits: i32,
    /// Whether `lc_monetary` is `C` or `POSIX`; money is refused as text under any other.
    pub monetary_c: bool,
    /// `TimeZone`; `None` when pgherd does not know that zone.
    pub(crate) zone: Option<Zone>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            date_style: DateStyle::Iso,
            date_order: DateOrder::Mdy,
            interval_style: IntervalStyle::Postgres,
            bytea_output: ByteaOutput::Hex,
            extra_float_digits: 1,
            monetary_c: true,
            zone: Some(Zone::utc()),
        }
    }
}

impl Settings {
    /// Takes the value of a parameter as `SHOW` gives it; parameters without influence and values
    /// that Postgres would not show are ignored.
    pub fn set(&mut self, name: &str, value: &str) {
        match name.to_ascii_lowercase().as_str() {
            "datestyle" => self.set_date_style(value),
            "intervalstyle" => {
                self.interval_style = if value == "postgres" {
                    IntervalStyle::Postgres
                } else {
                    IntervalStyle::Other
                };
            }
            "bytea_output" => {
                self.bytea_output =
                    if value == "escape" { ByteaOutput::Escape } else { ByteaOutput::Hex };
            }
            "extra_float_digits" => {
                self.extra_float_digits = value.parse().unwrap_or(self.extra_float_digits);
            }
            "lc_monetary" => self.monetary_c = matches!(value, "C" | "POSIX"),
            "timezone" => self.zone = Zone::named(value),
            _ => {}
        }
    }

    fn set_date_style(&mut self, value: &str) {
        for word in value.split(',').map(str::trim) {
            match word.to_ascii_uppercase().as_str() {
                "ISO" => self.date_style = DateStyle::Iso,
                "SQL" => self.date_style = DateStyle::Sql,
                "POSTGRES" => self.date_style = DateStyle::Postgres,
                "GERMAN" => self.date_style = DateStyle::German,
                "MDY" => self.date_order = DateOrder::Mdy,
                "DMY" => self.date_order = DateOrder::Dmy,
                "YMD" => self.date_order = DateOrder::Ymd,
                _ => {}
            }
        }
    }
}
