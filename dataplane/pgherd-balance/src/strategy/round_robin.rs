//! Round robin: each instance in turn.
//!
//! The turn is taken among those that are open. Passing over banned ones in a fixed ring would
//! give the one behind a banned one two shares.

use super::Candidate;

pub(super) fn choose(candidates: &[Candidate], turn: u64) -> Option<&Candidate> {
    let place = turn.checked_rem(candidates.len() as u64)?;
    candidates.get(usize::try_from(place).ok()?)
}
