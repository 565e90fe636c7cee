//! Random: any instance, with equal chances.

use super::{Candidate, any};

pub(super) fn choose(candidates: &[Candidate], random: u64) -> Option<&Candidate> {
    any(candidates, random)
}
