//! Peak EWMA: the better of two instances by latency and load.
//!
//! The form that Finagle and linkerd use: of two instances taken by chance the one with the lower
//! product of latency and (busy connections + 1). The latency is an average that jumps up at once
//! and comes down slowly; without answers it fades, so that an instance that was slow is tried
//! again. Two by chance instead of the best of all: many proxies with the same picture would
//! otherwise all run to the same instance.

use std::time::Duration;

use super::{Candidate, below};

pub(super) fn choose(candidates: &[Candidate], random: u64) -> Option<&Candidate> {
    let count = candidates.len() as u64;
    // Two different places from two halves of one random number.
    let first = below(count, random);
    let offset = 1 + below(count.saturating_sub(1), random << 32);
    let second = (first + offset).checked_rem(count)?;
    let candidate = |place: u64| candidates.get(usize::try_from(place).ok()?);
    let (first, second) = (candidate(first)?, candidate(second)?);
    // Which of the two is `first` is chance, so a tie favours nobody.
    Some(if is_better(second, first) { second } else { first })
}

fn is_better(one: &Candidate, other: &Candidate) -> bool {
    let measured = |candidate: &Candidate| candidate.latency > 0.0;
    if measured(one) && measured(other) {
        cost(one) < cost(other)
    } else {
        // Without a latency there is only the load; 0 would draw everything to the new instance.
        one.busy < other.busy
    }
}

fn cost(candidate: &Candidate) -> f64 {
    candidate.latency * (f64::from(candidate.busy) + 1.0)
}

/// How fast old answers lose their weight: after this time to 37 %.
const FADING: Duration = Duration::from_secs(5);
/// Below this many microseconds an average counts as not known.
const LEAST: f64 = 0.5;

/// A moving average of latencies that follows a rise at once and a fall slowly.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PeakEwma {
    micros: f64,
    at: Duration,
}

impl PeakEwma {
    /// Takes in that something took `latency` and ended at `now`.
    pub fn observe(&mut self, now: Duration, latency: Duration) {
        let micros = latency.as_secs_f64() * 1e6;
        let kept = self.kept(now);
        self.micros = if micros > self.micros * kept {
            micros
        } else {
            self.micros * kept + micros * (1.0 - kept)
        };
        self.at = self.at.max(now);
    }

    /// The average in microseconds, fading while nothing is observed; 0 when nothing is known.
    pub fn value(&self, now: Duration) -> f64 {
        let micros = self.micros * self.kept(now);
        if micros < LEAST { 0.0 } else { micros }
    }

    /// The share of the old average that still counts. Threads may hand in times out of order.
    fn kept(&self, now: Duration) -> f64 {
        let elapsed = now.saturating_sub(self.at);
        (-elapsed.as_secs_f64() / FADING.as_secs_f64()).exp()
    }
}
