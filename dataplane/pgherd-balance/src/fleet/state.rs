//! What is known of all proxies' sightings, as a state that merges.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Report;

/// The newest sightings of every proxy. Merging is commutative, associative and idempotent.
///
/// Times inside are those of the clock of the control plane that holds it; see
/// `gossip`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetState {}

impl FleetState {
    /// Takes in a report that arrives now and is believed for `ttl`. Old and doubled ones change
    /// nothing.
    pub fn absorb(&mut self, _report: &Report, _now: Duration, _ttl: Duration) {}

    /// Takes in everything that another state on the same clock knows.
    pub fn merge(&mut self, _other: &Self) {}

    /// Forgets what nobody believes any more.
    pub fn expire(&mut self, _now: Duration) {}
}
