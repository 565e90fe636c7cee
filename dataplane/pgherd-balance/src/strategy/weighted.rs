//! Weighted: by chance, in proportion to the weights.
//!
//! Weight 0 gets nothing, unless all weights are 0: then all are equal.

use super::{Candidate, below};

pub(super) fn choose(candidates: &[Candidate], random: u64) -> Option<&Candidate> {
    among(candidates, |_| true, random)
}

/// The same among those that `eligible` names.
pub(super) fn among(
    candidates: &[Candidate],
    eligible: impl Fn(&Candidate) -> bool,
    random: u64,
) -> Option<&Candidate> {
    let those = || candidates.iter().filter(|candidate| eligible(candidate));
    let total: u64 = those().map(|candidate| u64::from(candidate.weight)).sum();
    if total == 0 {
        let count = those().count() as u64;
        return those().nth(usize::try_from(below(count, random)).ok()?);
    }
    let mut rest = below(total, random);
    those().find(|candidate| {
        let weight = u64::from(candidate.weight);
        let found = rest < weight;
        rest = rest.saturating_sub(weight);
        found
    })
}
