//! Chooses one of several instances that could all take a statement; one file per strategy.
//!
//! A strategy sees only the instances that are open, so one that is banned leaves no hole whose
//! neighbour would get its share.

mod least_connections;
mod peak_ewma;
mod random;
mod round_robin;
mod weighted;

pub use peak_ewma::PeakEwma;
/// How an instance is chosen: the setting `load_balancing`.
pub use pgherd_config::LoadBalancing as Strategy;
use pgherd_config::{Cluster, InstanceRole, Reads, Shard};

/// An instance that could take the statement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// What [`choose`] returns; it means nothing here.
    pub index: usize,
    /// The instance's `weight`.
    pub weight: u32,
    /// Its connections that are in use now, over all workers.
    pub busy: u32,
    /// [`PeakEwma::value`] of its answers, in microseconds; 0 when it is not known.
    pub latency: f64,
}

/// The `index` of the candidate that gets the statement; `None` only when there is no candidate.
///
/// `turn` goes up by one with each choice among the same candidates; only round robin looks at it.
/// `random` is uniform over all its bits.
pub fn choose(
    strategy: Strategy,
    candidates: &[Candidate],
    turn: u64,
    random: u64,
) -> Option<usize> {
    let chosen = match (strategy, candidates) {
        (_, [only]) => Some(only),
        (Strategy::Random, _) => random::choose(candidates, random),
        (Strategy::LeastConnections, _) => least_connections::choose(candidates, random),
        (Strategy::RoundRobin, _) => round_robin::choose(candidates, turn),
        (Strategy::Weighted, _) => weighted::choose(candidates, random),
        (Strategy::PeakEwma, _) => peak_ewma::choose(candidates, random),
    };
    chosen.map(|candidate| candidate.index)
}

/// The strategy of a shard: the one that is set, else random among equals and least connections
/// where the instances that take reads are not equal.
pub fn strategy_for(cluster: &Cluster, shard: &Shard) -> Strategy {
    cluster.load_balancing.unwrap_or(match are_equal(cluster.reads, shard) {
        true => Strategy::Random,
        false => Strategy::LeastConnections,
    })
}

/// Whether the instances that take reads have the same weight and the same other duties: with
/// `reads = "any"` one of several is the primary, which has the writes to do as well.
fn are_equal(reads: Reads, shard: &Shard) -> bool {
    let with_primary = reads == Reads::Any;
    let mut weights = shard
        .instances
        .iter()
        .filter(|instance| with_primary || instance.role != InstanceRole::Primary)
        .map(|instance| instance.weight);
    let first = weights.next();
    let same_weight = weights.all(|weight| Some(weight) == first);
    same_weight && !(with_primary && shard.instances.len() > 1)
}

/// A number below `bound`, each with the same chance up to one part in 2^64 / `bound`; 0 for 0.
fn below(bound: u64, random: u64) -> u64 {
    // The high half of the product; cannot be cut off, as it is below `bound`.
    ((u128::from(bound) * u128::from(random)) >> 64) as u64
}

/// One of them, with equal chances.
fn any(candidates: &[Candidate], random: u64) -> Option<&Candidate> {
    candidates.get(usize::try_from(below(candidates.len() as u64, random)).ok()?)
}

#[cfg(test)]
mod tests;
