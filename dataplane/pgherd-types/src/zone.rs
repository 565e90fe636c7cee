//! The session's time zone: the offset and abbreviation at a moment.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::calendar::USECS_PER_SEC;

/// Seconds from 1970 to 2000.
const EPOCH: i64 = 946_684_800;
/// Seconds in 400 years of the calendar, after which it repeats, weekdays included.
const CYCLE: i64 = 146_097 * 86_400;

/// A time zone that pgherd knows.
#[derive(Clone, Debug)]
pub(crate) struct Zone(TimeZone);

impl Zone {
    pub(crate) fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// A name of the time zone database, as `SHOW TimeZone` gives it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let known = jiff::tz::db().get(name).ok();
        // What `SET TIME ZONE -3` becomes: `<-03>+03`.
        known.or_else(|| TimeZone::posix(name).ok()).map(Self)
    }

    /// Seconds east of Greenwich and abbreviation at a `timestamptz`.
    pub(crate) fn at(&self, timestamp: i64) -> Option<(i32, String)> {
        let mut seconds = timestamp.div_euclid(USECS_PER_SEC) + EPOCH;
        let last = Timestamp::MAX.as_second() - 400 * 86_400;
        if seconds > last {
            seconds -= (seconds - last).div_euclid(CYCLE) * CYCLE + CYCLE;
        }
        let first = Timestamp::MIN.as_second() + 400 * 86_400;
        // Before the first transition there is one offset for ever.
        let moment =
            Timestamp::from_duration(SignedDuration::from_secs(seconds.max(first))).ok()?;
        let info = self.0.to_offset_info(moment);
        Some((info.offset().seconds(), info.abbreviation().to_owned()))
    }
}
