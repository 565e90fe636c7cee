//! What the bans of a shard amount to for each instance.

use std::{fmt, time::Duration};

use pgherd_config::EvidenceClass;

/// What an instance is in its shard at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Takes writes; bans keep only reads away from it.
    Primary,
    /// Counts for the limit of bans.
    Replica,
    /// Not known, or fenced: takes nothing anyway, so its bans count for nothing.
    Other,
}

/// Whether reads may go to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadsFromPrimary {
    /// Never.
    No,
    /// When no replica is left.
    AsLastResort,
    /// As to any other instance.
    Yes,
}

/// Whether statements may be sent to an instance. A primary takes writes whatever is said here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing speaks against it.
    Open,
    /// It gets no reads.
    Banned(Ban),
    /// It would be banned, but is used because too little else is left.
    HeldBack(Ban, HeldBack),
}

/// One reason not to use an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who banned it.
    pub source: Source,
    /// Why.
    pub class: EvidenceClass,
    /// Why, for people.
    pub reason: String,
    /// Since when.
    pub since: Duration,
    /// When its time is over; `None` for a manual ban without end. A ban of evidence ends only
    /// through probes: earlier, or later.
    pub until: Option<Duration>,
    /// How many bans in a row this is, with too little time between them; 0 where nobody counts.
    pub count: u32,
    /// Probes that have succeeded since the last failure.
    pub successes: u32,
    /// How many must succeed in a row to end the ban now.
    pub needed: u32,
}

/// Who banned an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// This proxy, for what it has seen itself.
    Local,
    /// The fleet, for what several proxies have seen.
    Fleet,
    /// An administrator, here or for the whole fleet.
    Manual,
}

/// Why an instance is used in spite of a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeldBack {
    /// `max_banned_percent` replicas are banned already.
    Limit,
    /// No instance would be left to read from.
    NothingLeft,
}

// === impl Standing ===

impl Standing {
    /// Whether reads may be sent to it.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Open | Self::HeldBack(..) => true,
            Self::Banned(_) => false,
        }
    }

    /// The ban, in force or held back.
    pub fn ban(&self) -> Option<&Ban> {
        match self {
            Self::Open => None,
            Self::Banned(ban) | Self::HeldBack(ban, _) => Some(ban),
        }
    }
}

// === impl Ban ===

impl Ban {
    /// What is left of its time; `None` for a manual ban without end.
    pub fn remaining(&self, now: Duration) -> Option<Duration> {
        self.until.map(|until| until.saturating_sub(now))
    }

    /// Whether its time is over and only a probe is missing.
    pub fn is_on_probation(&self, now: Duration) -> bool {
        self.source != Source::Manual && self.until.is_some_and(|until| until <= now)
    }
}

// === impl Display ===

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Fleet => "fleet",
            Self::Manual => "manual",
        })
    }
}

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Limit => "max_banned_percent is reached",
            Self::NothingLeft => "nothing else is left to read from",
        })
    }
}
