//! Everything that was measured, as it is written to result.json.

use serde::Serialize;

use crate::bars::{self, Verdict};
use crate::contender::Contenders;
use crate::idle::Idle;
use crate::machine::Machine;
use crate::options::{Options, Protocol, Target, Workload};
use crate::rounds::Run;
use crate::window::Figures;

/// The whole result.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub machine: Machine,
    pub settings: Settings,
    /// Contenders that could not be started, with the reason.
    pub missing: Vec<(Target, String)>,
    pub rows: Vec<Row>,
    pub idle: Vec<Idle>,
    pub verdicts: Vec<Verdict>,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    pub workload: Workload,
    pub scale: u32,
    pub seconds: u64,
    pub rounds: u64,
    pub pool_size: usize,
    pub workers: usize,
}

/// One contender in one combination.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub protocol: Protocol,
    pub clients: usize,
    pub target: Target,
    /// The median of the rounds, each figure by itself; nothing when every round failed.
    pub median: Option<Figures>,
    pub rounds: Vec<Figures>,
    pub failures: Vec<String>,
}

// === impl Summary ===

impl Summary {
    /// Puts the parts together and judges them.
    pub fn new(
        machine: Machine,
        options: &Options,
        contenders: &Contenders,
        runs: &[Run],
        idle: Vec<Idle>,
    ) -> Self {
        let settings = Settings {
            workload: options.workload,
            scale: options.scale,
            seconds: options.duration().as_secs(),
            rounds: options.rounds(),
            pool_size: options.pool_size,
            workers: options.workers,
        };
        let rows = runs.iter().map(Row::new).collect();
        let missing = contenders.missing.clone();
        let mut summary = Self { machine, settings, missing, rows, idle, verdicts: Vec::new() };
        summary.verdicts = bars::judge(&summary);
        summary
    }

    /// The figures of one contender in one combination.
    pub fn figures(&self, protocol: Protocol, clients: usize, target: Target) -> Option<&Figures> {
        self.rows
            .iter()
            .find(|row| (row.protocol, row.clients, row.target) == (protocol, clients, target))
            .and_then(|row| row.median.as_ref())
    }

    /// The combinations in the order in which they were measured.
    pub fn combinations(&self) -> Vec<(Protocol, usize)> {
        let mut combinations: Vec<_> =
            self.rows.iter().map(|row| (row.protocol, row.clients)).collect();
        combinations.dedup();
        combinations
    }
}

// === impl Row ===

impl Row {
    fn new(run: &Run) -> Self {
        let of = |figure: fn(&Figures) -> f64| median(run.rounds.iter().map(figure).collect());
        let cpu = run.rounds.iter().map(|round| round.cpu).collect::<Option<Vec<f64>>>();
        let median = (!run.rounds.is_empty()).then(|| Figures {
            throughput: of(|round| round.throughput),
            p50: of(|round| round.p50),
            p90: of(|round| round.p90),
            p99: of(|round| round.p99),
            cpu: cpu.map(median),
        });
        Self {
            protocol: run.protocol,
            clients: run.clients,
            target: run.target,
            median,
            rounds: run.rounds.clone(),
            failures: run.failures.clone(),
        }
    }
}

/// The value in the middle, or the mean of the two there.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.len() % 2, values.get(middle)) {
        (_, None) => f64::NAN,
        (1, Some(value)) => *value,
        (_, Some(value)) => (values.get(middle - 1).copied().unwrap_or(*value) + value) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn one_bad_round_does_not_move_the_median_far() {
        assert_eq!(median(vec![3.0, 100.0, 2.0]), 3.0);
        assert_eq!(median(vec![1.0, 4.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }
}
