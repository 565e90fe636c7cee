//! How long to wait before the next attempt: full jitter under a bound that doubles.
//!
//! Full jitter spreads a fleet that lost its control plane at one moment over the whole interval
//! (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).

use std::time::Duration;

/// Counts failures in a row.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, failures: 0 }
    }

    /// Starts again with short delays.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure and says how long to wait; `chance` is a random number from 0 to 1.
    pub(crate) fn next_delay(&mut self, chance: f64) -> Duration {
        let bound = self.first.saturating_mul(1 << self.failures.min(16)).min(self.most);
        self.failures = self.failures.saturating_add(1);
        jitter(bound, chance)
    }
}

/// Some moment within `bound`; `chance` is a random number from 0 to 1.
pub(crate) fn jitter(bound: Duration, chance: f64) -> Duration {
    bound.mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::{Backoff, Duration};

    #[test]
    fn the_bound_doubles_up_to_the_most_and_starts_again_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let millis: Vec<u128> = (0..8).map(|_| backoff.next_delay(1.0).as_millis()).collect();
        assert_eq!(millis, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.failures = u32::MAX;
        assert_eq!(backoff.next_delay(0.5).as_millis(), 2500);
        backoff.reset();
        assert_eq!(backoff.next_delay(0.0).as_millis(), 0);
        assert_eq!(backoff.next_delay(1.0).as_millis(), 200);
    }
}
