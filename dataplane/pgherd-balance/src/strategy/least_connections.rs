//! Least connections: the instance with the fewest busy connections for its weight.
//!
//! Ties are broken by chance in proportion to the weights. A fixed order would send all that comes
//! while little is going on to the first instance.

use std::cmp::Ordering;

use super::{Candidate, weighted};

pub(super) fn choose(candidates: &[Candidate], random: u64) -> Option<&Candidate> {
    let least = candidates.iter().min_by(|one, other| by_load(one, other))?;
    weighted::among(candidates, |candidate| by_load(candidate, least).is_eq(), random)
}

/// Compares busy connections per weight, without dividing; weight 0 comes last.
fn by_load(one: &Candidate, other: &Candidate) -> Ordering {
    let load = |one: &Candidate, other: &Candidate| u64::from(one.busy) * u64::from(other.weight);
    (one.weight == 0).cmp(&(other.weight == 0)).then_with(|| match one.weight {
        0 => one.busy.cmp(&other.busy),
        _ => load(one, other).cmp(&load(other, one)),
    })
}
