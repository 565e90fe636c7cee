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
}

impl Default for BanRules {
    fn default() -> Self {
        Self::of(&Cluster::default())
    }
}
