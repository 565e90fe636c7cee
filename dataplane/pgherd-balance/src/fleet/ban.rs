//! A ban that holds for all proxies or for those of one zone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ProxyId;
use crate::{EvidenceClass, InstanceKey};

/// What the control plane tells every proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetBan {
    /// Which instance.
    pub instance: InstanceKey,
    /// For whom.
    pub scope: Scope,
    /// Why.
    pub cause: Cause,
    /// For how long already.
    pub elapsed: Duration,
    /// How long it holds unless it is said again; `None` for a manual ban without end.
    pub remaining: Option<Duration>,
}

/// Whom a ban holds for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every proxy.
    All,
    /// The proxies of one zone; those that name none make up the zone without a name.
    Zone(String),
}

/// Why the fleet bans an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// A quorum sees it failing.
    Evidence {
        /// In which way: the surest of what was seen.
        class: EvidenceClass,
        /// For people.
        detail: String,
        /// Who sees it.
        witnesses: Vec<ProxyId>,
        /// Of how many that watch it and have a vote.
        voters: usize,
    },
    /// An administrator has ordered it.
    Manual {
        /// For people.
        reason: String,
    },
}

impl Scope {
    /// Whether a proxy of this zone must obey.
    pub fn holds_in(&self, zone: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Zone(banned) => zone.unwrap_or_default() == banned,
        }
    }
}
