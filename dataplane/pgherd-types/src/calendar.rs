//! Dates and times of day: the calendar that Postgres computes with, and its text.

use crate::settings::{DateOrder, DateStyle, Settings};

/// Julian day of 2000-01-01.
const EPOCH: i64 = 2_451_545;
pub(crate) const USECS_PER_DAY: i64 = 86_400_000_000;
pub(crate) const USECS_PER_SEC: i64 = 1_000_000;

/// `date2j`: days since 2000-01-01 of a date; year 0 is 1 BC.
pub(crate) fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) =
        if month > 2 { (year + 4800, month + 1) } else { (year + 4799, month + 13) };
    let century = year / 100;
    let julian = year * 365 - 32167 + year / 4 - century + century / 4 + 7834 * month / 256 + day;
    julian - EPOCH
}

/// `j2date`: year (0 is 1 BC), month and day.
pub(crate) fn date_of(days: i64) -> (i64, i64, i64) {
    // Days since 0000-03-01, by eras of 400 years.
    let shifted = days + 730_425;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// `date` as text.
pub(crate) fn write_date(days: i64, settings: &Settings, out: &mut Vec<u8>) {
    let (year, month, day) = date_of(days);
    out.extend(date_text(year, month, day, settings).as_bytes());
    write_era(year, out);
}

fn date_text(year: i64, month: i64, day: i64, settings: &Settings) -> String {
    let shown = shown_year(year);
    let first = if settings.date_order == DateOrder::Dmy { (day, month) } else { (month, day) };
    match settings.date_style {
        DateStyle::Iso => format!("{shown:04}-{month:02}-{day:02}"),
        DateStyle::Sql => format!("{:02}/{:02}/{shown:04}", first.0, first.1),
        DateStyle::Postgres => format!("{:02}-{:02}-{shown:04}", first.0, first.1),
        DateStyle::German => format!("{day:02}.{month:02}.{shown:04}"),
    }
}

pub(crate) fn shown_year(year: i64) -> i64 {
    if year > 0 { year } else { 1 - year }
}

fn write_era(year: i64, out: &mut Vec<u8>) {
    if year <= 0 {
        out.extend_from_slice(b" BC");
    }
}

/// Time of day with as many digits of the second as needed.
pub(crate) fn write_time(micros: i64, out: &mut Vec<u8>) {
    let seconds = micros / USECS_PER_SEC;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    out.extend(format!("{hours:02}:{minutes:02}:{seconds:02}").as_bytes());
    write_fraction(micros % USECS_PER_SEC, out);
}

/// `.5`, `.000001`, or nothing.
pub(crate) fn write_fraction(micros: i64, out: &mut Vec<u8>) {
    if micros != 0 {
        let text = format!(".{micros:06}");
        out.extend(text.trim_end_matches('0').as_bytes());
    }
}

/// `+02`, `-03:30`, with seconds where there are some; seconds east of Greenwich.
pub(crate) fn write_offset(east: i32, out: &mut Vec<u8>) {
    out.push(if east < 0 { b'-' } else { b'+' });
    let seconds = east.unsigned_abs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    out.extend(format!("{hours:02}").as_bytes());
    if minutes != 0 || seconds != 0 {
        out.extend(format!(":{minutes:02}").as_bytes());
    }
    if seconds != 0 {
        out.extend(format!(":{seconds:02}").as_bytes());
    }
}

/// A timestamp as text; with a zone, `local` is the time there.
pub(crate) fn write_timestamp(
    local: i64,
    zone: Option<(i32, &str)>,
    settings: &Settings,
    out: &mut Vec<u8>,
) {
    const DAYS: [&str; 7] = ["Sat", "Sun", "Mon", "Tue", "Wed", "Thu", "Fri"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, micros) = (local.div_euclid(USECS_PER_DAY), local.rem_euclid(USECS_PER_DAY));
    let (year, month, day) = date_of(days);
    let mut time = Vec::with_capacity(16);
    write_time(micros, &mut time);
    match settings.date_style {
        DateStyle::Postgres => {
            // 2000-01-01 was a Saturday.
            let name = |names: &[&'static str], index: i64| {
                usize::try_from(index).ok().and_then(|index| names.get(index)).copied()
            };
            let weekday = name(&DAYS, days.rem_euclid(7)).unwrap_or_default();
            let month = name(&MONTHS, month - 1).unwrap_or_default();
            let date = if settings.date_order == DateOrder::Dmy {
                format!("{weekday} {day:02} {month} ")
            } else {
                format!("{weekday} {month} {day:02} ")
            };
            out.extend(date.as_bytes());
            out.extend(&time);
            out.extend(format!(" {:04}", shown_year(year)).as_bytes());
        }
        _ => {
            out.extend(date_text(year, month, day, settings).as_bytes());
            out.push(b' ');
            out.extend(&time);
        }
    }
    if let Some((east, abbreviation)) = zone {
        match settings.date_style {
            DateStyle::Iso => write_offset(east, out),
            _ => {
                out.push(b' ');
                out.extend(abbreviation.as_bytes());
            }
        }
    }
    write_era(year, out);
}

// === reading ===

/// Takes pieces of a date's or time's text off its front.
pub(crate) struct Scanner<'a>(pub &'a [u8]);

impl Scanner<'_> {
    /// A run of digits.
    pub(crate) fn number(&mut self) -> Option<i64> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) =
            self.0.split_at_checked(count).filter(|_| (1..=18).contains(&count))?;
        self.0 = rest;
        Some(digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    }

    pub(crate) fn eat(&mut self, text: &[u8]) -> bool {
        let rest = self.0.strip_prefix(text);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    pub(crate) fn expect(&mut self, text: &[u8]) -> Option<()> {
        self.eat(text).then_some(())
    }

    pub(crate) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    /// The digits after a point as microseconds; 0 when there is none.
    pub(crate) fn fraction(&mut self) -> Option<i64> {
        if !self.eat(b".") {
            return Some(0);
        }
        let before = self.0.len();
        let number = self.number()?;
        let digits = u32::try_from(before - self.0.len()).ok()?;
        Some(number * 10_i64.pow(6_u32.checked_sub(digits)?))
    }

    /// Year as shown, month and day.
    pub(crate) fn date(&mut self, settings: &Settings) -> Option<(i64, i64, i64)> {
        let (separator, iso): (&[u8], bool) = match settings.date_style {
            DateStyle::Iso => (b"-", true),
            DateStyle::Sql => (b"/", false),
            DateStyle::Postgres => (b"-", false),
            DateStyle::German => (b".", false),
        };
        let first = self.number()?;
        self.expect(separator)?;
        let second = self.number()?;
        self.expect(separator)?;
        let third = self.number()?;
        let day_first =
            settings.date_style == DateStyle::German || settings.date_order == DateOrder::Dmy;
        let (year, month, day) = match (iso, day_first) {
            (true, _) => (first, second, third),
            (false, true) => (third, second, first),
            (false, false) => (third, first, second),
        };
        let fits = (1..=12).contains(&month) && (1..=31).contains(&day) && year < 10_000_000;
        fits.then_some((year, month, day))
    }

    /// `BC`, if it is there, makes the year count from 1 BC as 0.
    pub(crate) fn era(&mut self, year: i64) -> i64 {
        if self.eat(b" BC") { 1 - year } else { year }
    }

    /// Microseconds since midnight.
    pub(crate) fn time(&mut self) -> Option<i64> {
        let hours = self.number()?;
        self.expect(b":")?;
        let minutes = self.number()?;
        let seconds = if self.eat(b":") { self.number()? } else { 0 };
        let fraction = self.fraction()?;
        let fits = hours <= 24 && minutes < 60 && seconds <= 60;
        fits.then_some(((hours * 60 + minutes) * 60 + seconds) * USECS_PER_SEC + fraction)
    }

    /// Seconds east of Greenwich.
    pub(crate) fn offset(&mut self) -> Option<i32> {
        let east = match self.0.first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.0 = self.0.get(1..)?;
        let hours = self.number()?;
        let minutes = if self.eat(b":") { self.number()? } else { 0 };
        let seconds = if self.eat(b":") { self.number()? } else { 0 };
        let total = i32::try_from(hours.checked_mul(3600)? + minutes * 60 + seconds).ok()?;
        (total < 24 * 3600).then_some(east * total)
    }
}

/// Days since 2000-01-01; the infinities as Postgres holds them.
pub(crate) fn read_date(text: &[u8], settings: &Settings) -> Option<i32> {
    match text {
        b"infinity" => return Some(i32::MAX),
        b"-infinity" => return Some(i32::MIN),
        _ => {}
    }
    let mut scanner = Scanner(text);
    let (year, month, day) = scanner.date(settings)?;
    let year = scanner.era(year);
    scanner.end()?;
    i32::try_from(days_of(year, month, day)).ok()
}

/// Microseconds since 2000-01-01; `zoned` for `timestamptz`, which must show its offset.
pub(crate) fn read_timestamp(text: &[u8], zoned: bool, settings: &Settings) -> Option<i64> {
    match text {
        b"infinity" => return Some(i64::MAX),
        b"-infinity" => return Some(i64::MIN),
        _ => {}
    }
    let mut scanner = Scanner(text);
    let ((year, month, day), time) = if settings.date_style == DateStyle::Postgres {
        verbose_timestamp(&mut scanner, settings)?
    } else {
        let date = scanner.date(settings)?;
        scanner.expect(b" ")?;
        (date, scanner.time()?)
    };
    let east = if zoned { scanner.offset()? } else { 0 };
    let year = scanner.era(year);
    scanner.end()?;
    let days = days_of(year, month, day).checked_mul(USECS_PER_DAY)?;
    days.checked_add(time)?.checked_sub(i64::from(east) * USECS_PER_SEC)
}

/// `Wed Dec 17 07:37:16 1997`
fn verbose_timestamp(
    scanner: &mut Scanner<'_>,
    settings: &Settings,
) -> Option<((i64, i64, i64), i64)> {
    const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    scanner.0 = scanner.0.get(4..)?;
    let month = |scanner: &mut Scanner<'_>| {
        let (name, rest) = scanner.0.split_at_checked(3)?;
        scanner.0 = rest;
        let place = MONTHS.chunks(3).position(|month| month == name)?;
        i64::try_from(place + 1).ok()
    };
    let (month, day) = if settings.date_order == DateOrder::Dmy {
        let day = scanner.number()?;
        scanner.expect(b" ")?;
        (month(scanner)?, day)
    } else {
        let month = month(scanner)?;
        scanner.expect(b" ")?;
        (month, scanner.number()?)
    };
    scanner.expect(b" ")?;
    let time = scanner.time()?;
    scanner.expect(b" ")?;
    let year = scanner.number()?;
    ((1..=31).contains(&day) && year < 10_000_000).then_some(((year, month, day), time))
}
