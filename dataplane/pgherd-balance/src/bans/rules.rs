//! The settings that decide what bans and for how long.

use std::time::Duration;

use pgherd_config::{Cluster, EvidenceClass};

/// What bans an instance, for how long, and how many at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanRules {
    /// How long the first ban lasts.
    pub ban_time: Duration,
    /// How long a ban may become.
    pub max_ban_time: Duration,
    /// Most replicas of a shard, in percent, that are banned by evidence.
    pub max_banned_percent: u8,
    /// How often a banned instance is probed.
    pub probe_interval: Duration,
    /// The classes that ban.
    pub ban_on: Vec<EvidenceClass>,
}

impl BanRules {
    /// How often a banned instance is probed.
    pub const PROBE_INTERVAL: Duration = Duration::from_secs(1);

    /// The rules that the settings of a cluster make.
    pub fn of(cluster: &Cluster) -> Self {
        Self {
            ban_time: cluster.ban_time.0,
            max_ban_time: cluster.max_ban_time.0.max(cluster.ban_time.0),
            max_banned_percent: cluster.max_banned_percent,
            probe_interval: Self::PROBE_INTERVAL,
            ban_on: cluster.ban_on.clone(),
        }
    }

    /// Whether evidence of this class bans.
    pub fn bans(&self, class: EvidenceClass) -> bool {
        class != EvidenceClass::Manual && self.ban_on.contains(&class)
    }

    /// How long the ban lasts that is the `count`th in a row.
    pub(super) fn span(&self, count: u32) -> Duration {
        self.ban_time.saturating_mul(doubled(count)).min(self.max_ban_time.max(self.ban_time))
    }

    /// How many probes in a row end the ban that is the `count`th in a row before its time.
    pub(super) fn successes(&self, count: u32) -> u32 {
        doubled(count).min(MOST_SUCCESSES)
    }

    /// The number in a row of a ban that begins `quiet` after the one numbered `last` has ended.
    pub(super) fn count_after(&self, last: u32, quiet: Duration) -> u32 {
        let forgiven = quiet.as_nanos().checked_div(self.ban_time.as_nanos()).unwrap_or(u128::MAX);
        let kept = last.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        kept.saturating_add(1).min(self.highest_count())
    }

    /// Beyond this nothing becomes longer, and counting on would only delay the forgiving.
    fn highest_count(&self) -> u32 {
        let grows = |count: &u32| {
            self.span(*count) < self.max_ban_time || self.successes(*count) < MOST_SUCCESSES
        };
        (1..HIGHEST_COUNT).find(|count| !grows(count)).unwrap_or(HIGHEST_COUNT)
    }

    /// How many of so many replicas evidence may ban.
    pub(super) fn limit(&self, replicas: usize) -> usize {
        most_banned(replicas, self.max_banned_percent)
    }
}

/// Most probes in a row that are asked for.
const MOST_SUCCESSES: u32 = 16;
/// A month of bans of a second.
const HIGHEST_COUNT: u32 = 22;

fn doubled(count: u32) -> u32 {
    1_u32.checked_shl(count.saturating_sub(1)).unwrap_or(u32::MAX)
}

/// How many of so many replicas `percent` are: at least one, unless it is 0.
pub(crate) fn most_banned(replicas: usize, percent: u8) -> usize {
    match percent {
        0 => 0,
        percent => (replicas.saturating_mul(percent.min(100).into()) / 100).max(1),
    }
}

impl Default for BanRules {
    fn default() -> Self {
        Self::of(&Cluster::default())
    }
}
