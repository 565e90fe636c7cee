//! Measures every combination in every round, one contender right after the other.

use std::time::Duration;

use anyhow::{Context, Result};
use pgherd_harness::postgres::Postgres;

use crate::contender::{Contender, Contenders};
use crate::options::{Options, Plan, Protocol, Target};
use crate::pgbench;
use crate::window::{self, Figures};

/// How often the pooler's CPU time is read.
const INTERVAL: Duration = Duration::from_millis(50);

/// What one contender did in one combination, with a result for each round.
#[derive(Debug)]
pub struct Run {
    pub protocol: Protocol,
    pub clients: usize,
    pub target: Target,
    pub rounds: Vec<Figures>,
    /// Why rounds failed.
    pub failures: Vec<String>,
}

/// All runs. A run that fails is told and the next one begins; noise hits neighbours alike.
pub fn all(
    options: &Options,
    plan: &Plan,
    postgres: &Postgres,
    contenders: &Contenders,
) -> Result<Vec<Run>> {
    let mut runs = slots(plan, contenders);
    let total = runs.len() as u64 * options.rounds();
    let mut done = 0;
    for round in 1..=options.rounds() {
        for run in &mut runs {
            done += 1;
            let Run { protocol, clients, target, .. } = *run;
            let name = format!("{target}, {}, {clients} clients", protocol.name());
            let contender = contenders.running.iter().find(|one| one.target() == target);
            let contender = contender.context("slots are made of what runs")?;
            match measure(options, postgres, contender, protocol, clients) {
                Ok(figures) => {
                    let cpu = figures.cpu.map(|cpu| format!(", {cpu:.1} µs CPU"));
                    eprintln!(
                        "bench: {done}/{total} round {round}: {name}: {:.0} tps, p50 {:.0} µs{}",
                        figures.throughput,
                        figures.p50,
                        cpu.unwrap_or_default(),
                    );
                    run.rounds.push(figures);
                }
                Err(error) => {
                    eprintln!("bench: {done}/{total} round {round}: {name}: FAILED: {error:#}");
                    run.failures.push(format!("{error:#}"));
                }
            }
        }
    }
    Ok(runs)
}

/// Protocol by protocol and number by number, with the contenders innermost.
fn slots(plan: &Plan, contenders: &Contenders) -> Vec<Run> {
    let mut runs = Vec::new();
    for &protocol in &plan.protocols {
        for &clients in &plan.clients {
            for contender in &contenders.running {
                let target = contender.target();
                if target.speaks(protocol) {
                    let (rounds, failures) = (Vec::new(), Vec::new());
                    runs.push(Run { protocol, clients, target, rounds, failures });
                }
            }
        }
    }
    runs
}

fn measure(
    options: &Options,
    postgres: &Postgres,
    contender: &Contender,
    protocol: Protocol,
    clients: usize,
) -> Result<Figures> {
    let running = pgbench::start(options, postgres, contender, protocol, clients)?;
    let mut samples = Vec::new();
    let transactions = running.finish(options.duration(), INTERVAL, || {
        samples.push(window::sample(contender.pid())?);
        Ok(())
    })?;
    window::figures(&transactions, &samples, contender.pid().is_some())
}
