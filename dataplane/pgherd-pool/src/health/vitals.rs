//! What an instance says of itself in a health check.

use std::time::Duration;

/// Asks for everything in one row. An instance in recovery and one that is not have different
/// functions, and calling the wrong ones is an error.
///
/// The timeline of a primary is that of the file it writes to: the control file tells the new one
/// only after the first checkpoint that follows a promotion. `pg_control_…` may be forbidden to
/// the user, or missing in what only resembles Postgres; then [`SHORT_QUESTION`] is asked.
pub(crate) const QUESTION: &str = "\
SELECT r, \
 CASE WHEN r THEN pg_catalog.pg_last_wal_replay_lsn() \
      ELSE pg_catalog.pg_current_wal_insert_lsn() END, \
 CASE WHEN r THEN pg_catalog.pg_last_wal_receive_lsn() \
      ELSE pg_catalog.pg_current_wal_flush_lsn() END, \
 CASE WHEN r THEN (SELECT GREATEST(c.timeline_id, m.min_recovery_end_timeline)::pg_catalog.text \
                   FROM pg_catalog.pg_control_checkpoint() c, pg_catalog.pg_control_recovery() m) \
      ELSE pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) END, \
 (SELECT s.system_identifier FROM pg_catalog.pg_control_system() s), \
 (pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time()) \
  OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8, \
 pg_catalog.current_setting('transaction_read_only'), \
 CASE WHEN r THEN (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) \
                   OPERATOR(pg_catalog.-) \
                   pg_catalog.date_part('epoch', pg_catalog.pg_last_xact_replay_timestamp())) END \
FROM (SELECT pg_catalog.pg_is_in_recovery() AS r) AS s";

/// What anybody may ask.
pub(crate) const SHORT_QUESTION: &str = "SELECT pg_catalog.pg_is_in_recovery()";

/// What an instance said of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Vitals {
    /// It follows a primary, or recovers.
    pub in_recovery: bool,
    /// The position up to which it has written, or replayed.
    pub lsn: Option<u64>,
    /// The position up to which its log is safe on its disk: flushed, or received.
    pub safe_lsn: Option<u64>,
    /// The timeline that it writes, or has replayed at least; promotions count it up.
    pub timeline: Option<u32>,
    /// All servers of one origin have the same.
    pub system: Option<u64>,
    /// When it started, in microseconds since 1970 by its own clock.
    pub started_at: Option<i64>,
    /// Transactions of this user are read-only.
    pub read_only: bool,
    /// How long ago the last transaction that it has replayed was committed, by both clocks.
    pub replayed_ago: Option<Duration>,
}

impl Vitals {
    /// Whether one running server has said both: no two of one origin start in the same microsecond.
    pub(super) fn is_of_same_server(&self, other: &Self) -> bool {
        self.system.is_some()
            && self.started_at.is_some()
            && (self.system, self.started_at) == (other.system, other.started_at)
    }

    /// From the row that answers [`QUESTION`] or [`SHORT_QUESTION`].
    pub(crate) fn parse(row: &[Option<&[u8]>]) -> Option<Self> {
        let text = |index: usize| {
            let value: &[u8] = (*row.get(index)?)?;
            std::str::from_utf8(value).ok()
        };
        let in_recovery = text(0)? == "t";
        Some(Self {
            in_recovery,
            lsn: text(1).and_then(parse_lsn),
            safe_lsn: text(2).and_then(parse_lsn),
            timeline: text(3).and_then(|it| match in_recovery {
                true => it.parse().ok(),
                // 000000020000000000000003
                false => u32::from_str_radix(it.get(..8)?, 16).ok(),
            }),
            // Postgres shows its 64 bits as a signed number.
            system: text(4).and_then(|it| it.parse().ok()).map(i64::cast_unsigned),
            started_at: text(5).and_then(|it| it.parse().ok()),
            read_only: text(6) == Some("on"),
            replayed_ago: text(7)
                .and_then(|it| it.parse().ok())
                .and_then(|secs: f64| Duration::try_from_secs_f64(secs.max(0.0)).ok()),
        })
    }
}

/// `16/B374D848`: the upper and the lower half.
pub(crate) fn parse_lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let half = |text| u32::from_str_radix(text, 16).ok();
    Some(u64::from(half(high)?) << 32 | u64::from(half(low)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parse(row: &[&str]) -> Option<Vitals> {
        let row: Vec<Option<&[u8]>> =
            row.iter().map(|value| (*value != "-").then_some(value.as_bytes())).collect();
        Vitals::parse(&row)
    }

    #[test]
    fn a_primary_says_its_timeline_in_the_name_of_its_file() {
        let row =
            ["f", "1/F", "1/E", "0000001A0000000100000000", "7", "1700000000123456", "off", "-"];
        let vitals = parse(&row).expect("complete");
        assert_eq!(vitals.timeline, Some(0x1a));
        assert_eq!((vitals.lsn, vitals.safe_lsn), (Some(0x1_0000_000f), Some(0x1_0000_000e)));
        assert_eq!((vitals.in_recovery, vitals.read_only), (false, false));
        assert_eq!(vitals.started_at, Some(1_700_000_000_123_456));
    }

    #[test]
    fn a_replica_may_lack_much() {
        let vitals = parse(&["t", "-", "-", "3", "-1", "-", "on", "1.5"]).expect("enough");
        assert_eq!((vitals.lsn, vitals.timeline, vitals.system), (None, Some(3), Some(u64::MAX)));
        assert_eq!(vitals.replayed_ago, Some(Duration::from_millis(1_500)));
        assert!(vitals.in_recovery && vitals.read_only);
        // Clocks differ.
        assert_eq!(
            parse(&["t", "-", "-", "-", "-", "-", "on", "-3"]).unwrap().replayed_ago,
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn the_short_answer_is_one() {
        assert_eq!(parse(&["t"]), Some(Vitals { in_recovery: true, ..Vitals::default() }));
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&["-"]), None);
    }

    #[test]
    fn positions_have_two_halves() {
        assert_eq!(parse_lsn("16/B374D848"), Some(0x16_b374_d848));
        assert_eq!(parse_lsn("16"), None);
        assert_eq!(parse_lsn("16/B374D8480"), None);
    }
}
