//! The steady part of one run: what was finished, how long it took, and what CPU it cost.
//!
//! Logins are expensive (SCRAM) and not what is compared, so CPU time is sampled all the while, and
//! only the transactions between two samples well inside the run count.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::pgbench::Transaction;
use crate::procfs;

/// The first transactions after the logins still warm caches and pools.
const WARM_UP: u64 = 300_000;

/// CPU time of the pooler at a moment, both in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub at: u64,
    pub cpu: u64,
}

/// The figures of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Transactions per second.
    pub throughput: f64,
    /// Latencies in microseconds.
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    /// The pooler's CPU time per transaction in microseconds.
    pub cpu: Option<f64>,
}

/// Looks at the pooler now.
pub fn sample(pid: Option<u32>) -> Result<Sample> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let cpu = pid.map(procfs::cpu_time).transpose()?.unwrap_or_default();
    Ok(Sample { at: micros(now), cpu: micros(cpu) })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Cuts the steady part out of a run; `has_pooler` says whether the samples' CPU times mean something.
pub fn figures(
    transactions: &[Transaction],
    samples: &[Sample],
    has_pooler: bool,
) -> Result<Figures> {
    let ended = || transactions.iter().map(|transaction| transaction.ended);
    let first = ended().min().context("no transactions")?;
    let last = ended().max().context("no transactions")?;
    let begin = samples.iter().find(|sample| sample.at >= first + WARM_UP);
    let end = samples.iter().rev().find(|sample| sample.at <= last);
    let (begin, end) = begin.zip(end).context("the run was too short")?;
    ensure!(end.at > begin.at, "the run was too short");

    let mut latencies: Vec<u32> = transactions
        .iter()
        .filter(|transaction| (begin.at..end.at).contains(&transaction.ended))
        .map(|transaction| transaction.latency)
        .collect();
    ensure!(!latencies.is_empty(), "no transaction ended in the steady part of the run");
    latencies.sort_unstable();
    let count = latencies.len() as f64;
    let cpu = end.cpu.saturating_sub(begin.cpu) as f64 / count;
    Ok(Figures {
        throughput: count * 1e6 / (end.at - begin.at) as f64,
        p50: percentile(&latencies, 50),
        p90: percentile(&latencies, 90),
        p99: percentile(&latencies, 99),
        cpu: has_pooler.then_some(cpu),
    })
}

/// The smallest value that `percent` of the sorted values do not exceed.
fn percentile(sorted: &[u32], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().map_or(f64::NAN, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<u32> = (1..=200).collect();
        assert_eq!(percentile(&values, 50), 100.0);
        assert_eq!(percentile(&values, 99), 198.0);
        assert_eq!(percentile(&[7], 1), 7.0);
    }

    #[test]
    fn logins_and_warm_up_do_not_count() {
        let transaction = |ended| Transaction { ended, latency: 100 };
        let transactions: Vec<_> = (0..=2000).map(|n| transaction(10_000_000 + n * 1000)).collect();
        // CPU time: a second of logins first, then 20 µs per transaction.
        let samples: Vec<_> = (90..130)
            .map(|n| n * 100_000)
            .map(|at: u64| Sample { at, cpu: 1_000_000 + at.saturating_sub(10_000_000) / 50 })
            .collect();
        let figures = figures(&transactions, &samples, true).unwrap();
        assert_eq!((figures.throughput, figures.p99, figures.cpu), (1000.0, 100.0, Some(20.0)));
    }

    #[test]
    fn a_run_that_is_too_short_is_an_error() {
        let transactions = [Transaction { ended: 5, latency: 1 }];
        assert!(figures(&transactions, &[Sample { at: 1, cpu: 0 }], true).is_err());
    }
}
