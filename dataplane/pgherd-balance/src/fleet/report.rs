//! What a proxy tells the fleet of the instances that it watches.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{EvidenceClass, InstanceKey};

/// The name of a proxy, the same over all its incarnations.
pub type ProxyId = String;

/// One message of a proxy. Times are lengths, never points in time: nobody's clock is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Who reports.
    pub proxy: ProxyId,
    /// The epoch: grows whenever the process starts; an older one is forgotten.
    pub incarnation: u64,
    /// Grows with each report of the incarnation.
    pub sequence: u64,
    /// Where the proxy runs.
    pub zone: Option<String>,
    /// Whether it is fit to judge; not so while it drains.
    pub votes: bool,
    /// Whether `sightings` are all that it watches; otherwise, those that changed.
    pub complete: bool,
    /// What it sees.
    pub sightings: Vec<Sighting>,
}

/// How one proxy sees one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// Which instance.
    pub instance: InstanceKey,
    /// How it is.
    pub condition: Condition,
}

/// How an instance looks from one proxy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Condition {
    /// It is not watched any more.
    Unwatched,
    /// Nothing speaks against it.
    Healthy {
        /// Time since it last gave a sign of life.
        seen_ago: Duration,
    },
    /// It fails.
    Failing {
        /// In which way.
        class: EvidenceClass,
        /// For people.
        detail: String,
        /// For how long by now.
        lasting: Duration,
    },
}
