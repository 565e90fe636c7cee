//! How far a replica is behind, measured by this proxy's clock and the positions that it has seen.
//!
//! `now() - pg_last_xact_replay_timestamp()` grows while nobody writes, and compares two clocks.
//! Here the primary's positions are noted with the time at which they were seen: a replica that
//! has replayed the position of a second ago is at most a second behind.

use std::collections::VecDeque;
use std::time::Duration;

/// Ten minutes at one check a second. What is behind further is at least that far behind.
const MAX_SAMPLES: usize = 600;

/// Where the primary was, and when.
#[derive(Clone, Debug, Default)]
pub(super) struct Positions {
    /// Ascending in both.
    samples: VecDeque<(Duration, u64)>,
}

impl Positions {
    pub(super) fn note(&mut self, at: Duration, lsn: u64) {
        // Another primary that is not as far: what the former one wrote beyond does not count.
        while self.samples.back().is_some_and(|(_, last)| *last > lsn) {
            self.samples.pop_back();
        }
        // Where nothing was written the earlier sample says more.
        if self.samples.back().is_some_and(|(_, last)| *last == lsn) {
            return;
        }
        if self.samples.len() == MAX_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back((at, lsn));
    }

    /// The last that is known of the primary.
    pub(super) fn last(&self) -> Option<u64> {
        self.samples.back().map(|(_, lsn)| *lsn)
    }

    /// For how long the first thing that is missing at `replayed` has existed; `None` as long as
    /// nothing is known of the primary.
    pub(super) fn lag(&self, now: Duration, replayed: u64) -> Option<Duration> {
        self.samples.back()?;
        let first_missing = self.samples.partition_point(|(_, lsn)| *lsn <= replayed);
        let lag = self.samples.get(first_missing).map(|(at, _)| now.saturating_sub(*at));
        Some(lag.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn positions(samples: &[(u64, u64)]) -> Positions {
        let mut positions = Positions::default();
        samples.iter().for_each(|(at, lsn)| positions.note(secs(*at), *lsn));
        positions
    }

    #[track_caller]
    fn check(samples: &[(u64, u64)], now: u64, replayed: u64, expected: Option<u64>) {
        assert_eq!(positions(samples).lag(secs(now), replayed), expected.map(secs));
    }

    #[test]
    fn who_has_everything_is_not_behind() {
        check(&[(1, 100), (2, 200)], 3, 200, Some(0));
        check(&[(1, 100), (2, 200)], 3, 300, Some(0));
    }

    #[test]
    fn an_idle_primary_makes_no_lag() {
        check(&[(1, 100), (2, 100), (900, 100)], 1_000, 100, Some(0));
    }

    #[test]
    fn what_is_missing_has_an_age() {
        check(&[(1, 100), (2, 200), (3, 300)], 5, 299, Some(2));
        check(&[(1, 100), (2, 200), (3, 300)], 5, 100, Some(3));
        // Older than what is remembered: at least so much.
        check(&[(1, 100), (2, 200)], 5, 50, Some(4));
        check(&[(1, 100), (2, 100), (7, 100)], 9, 50, Some(8));
    }

    #[test]
    fn without_a_primary_nothing_is_known() {
        check(&[], 5, 50, None);
    }

    #[test]
    fn a_new_primary_that_is_not_as_far_counts() {
        check(&[(1, 100), (2, 200), (3, 150)], 5, 150, Some(0));
        check(&[(1, 100), (2, 200), (3, 150)], 5, 120, Some(2));
    }
}
