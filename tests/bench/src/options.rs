//! The command line, and the plan of measurements that follows from it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use serde::Serialize;

/// Compares pgherd with PgBouncer, HAProxy and a direct connection by pgbench.
#[derive(Debug, Parser)]
#[command(name = "pgherd-bench")]
pub struct Options {
    /// How long pgbench runs for one figure of one round.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// How often everything is measured, in turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub rounds: u64,
    /// One round of two seconds: for a look, not for a judgement.
    #[arg(long)]
    pub quick: bool,
    /// Measures only what is named: targets, protocols, numbers of clients, `memory`.
    #[arg(long, value_name = "WORD,WORD…", value_delimiter = ',')]
    pub only: Vec<String>,
    /// pgbench's built-in script.
    #[arg(long, value_enum, default_value_t = Workload::SelectOnly)]
    pub workload: Workload,
    /// pgbench's scale factor.
    #[arg(long, default_value_t = 10)]
    pub scale: u32,
    /// Server connections that each pooler may have.
    #[arg(long, default_value_t = 20)]
    pub pool_size: usize,
    /// pgherd's worker threads; 0 means one per core. (PgBouncer has one, HAProxy one per core.)
    #[arg(long, default_value_t = 0)]
    pub workers: usize,
    /// Clients that are logged in and idle when memory is measured.
    #[arg(long, default_value_t = 2000)]
    pub idle_clients: usize,
    /// Measures a cluster of three shards beside one Postgres, and nothing else.
    #[arg(long)]
    pub sharding: bool,
    /// Rows that the shards have together: 1,000,000, with --quick 100,000.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub rows: Option<u64>,
    /// Where result.md and result.json go.
    #[arg(long, value_name = "DIRECTORY")]
    pub output: Option<PathBuf>,
}

/// What pgbench runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    SelectOnly,
    TpcbLike,
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub enum Target {
    Direct,
    PgBouncer,
    HaProxy,
    Pgherd,
    /// pgherd that parses and routes: before a primary and a replica, which gets the reads.
    Routed,
}

/// pgbench's query mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub enum Protocol {
    Simple,
    Extended,
    Prepared,
}

/// What is measured, in this order.
#[derive(Clone, Debug)]
pub struct Plan {
    pub targets: Vec<Target>,
    pub protocols: Vec<Protocol>,
    pub clients: Vec<usize>,
    pub memory: bool,
}

const CLIENTS: [usize; 3] = [1, 16, 100];

// === impl Options ===

impl Options {
    /// Length of one pgbench run.
    pub fn duration(&self) -> Duration {
        Duration::from_secs(if self.quick { 2 } else { self.seconds })
    }

    /// Rows that the shards have together.
    pub fn rows(&self) -> u64 {
        self.rows.unwrap_or(if self.quick { 100_000 } else { 1_000_000 })
    }

    /// How often everything is measured.
    pub fn rounds(&self) -> u64 {
        if self.quick { 1 } else { self.rounds }
    }

    /// Where the result is written: `bench` in Cargo's target folder unless told otherwise.
    pub fn output_directory(&self) -> Result<PathBuf> {
        if let Some(directory) = &self.output {
            return Ok(directory.clone());
        }
        // target/PROFILE/pgherd-bench
        let executable = std::env::current_exe().context("cannot tell where this executable is")?;
        let target = executable.ancestors().nth(2).context("the executable is in no folder")?;
        Ok(target.join("bench"))
    }

    /// Sorts the words of `--only` by what they name; a kind that is not named is taken whole.
    pub fn plan(&self) -> Result<Plan> {
        let mut plan = Plan { targets: vec![], protocols: vec![], clients: vec![], memory: false };
        for word in &self.only {
            if let Ok(target) = Target::from_str(word, true) {
                plan.targets.push(target);
            } else if let Ok(protocol) = Protocol::from_str(word, true) {
                plan.protocols.push(protocol);
            } else if let Ok(clients) = word.parse() {
                plan.clients.push(clients);
            } else if word == "memory" {
                plan.memory = true;
            } else {
                bail!(
                    "--only does not know {word:?}; it takes direct, pgbouncer, haproxy, pgherd, \
                     routed, simple, extended, prepared, a number of clients, memory"
                );
            }
        }
        if plan.clients.contains(&0) {
            bail!("--only: 0 clients cannot be measured");
        }
        let narrowed = !plan.protocols.is_empty() || !plan.clients.is_empty();
        if plan.memory && !narrowed {
            return Ok(Plan { targets: or_all(plan.targets), ..plan });
        }
        let memory = plan.memory || !narrowed;
        let clients = if plan.clients.is_empty() { CLIENTS.to_vec() } else { plan.clients };
        let (targets, protocols) = (or_all(plan.targets), or_all(plan.protocols));
        Ok(Plan { targets, protocols, clients, memory })
    }
}

/// What was named, each once and in the usual order, or everything.
fn or_all<T: ValueEnum + Ord>(mut named: Vec<T>) -> Vec<T> {
    if named.is_empty() {
        named = T::value_variants().to_vec();
    }
    named.sort_unstable();
    named.dedup();
    named
}

// === impl Target, Protocol, Workload ===

impl Target {
    /// Whether it passes this protocol on: PgBouncer before 1.21 has no prepared statements in
    /// transaction mode.
    pub fn speaks(self, protocol: Protocol) -> bool {
        (self, protocol) != (Self::PgBouncer, Protocol::Prepared)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::PgBouncer => "PgBouncer",
            Self::HaProxy => "HAProxy",
            Self::Pgherd => "pgherd",
            Self::Routed => "pgherd, routing",
        })
    }
}

impl Protocol {
    /// As pgbench's `-M` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
        }
    }
}

impl Workload {
    /// As pgbench's `-b` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SelectOnly => "select-only",
            Self::TpcbLike => "tpcb-like",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(only: &str, expected: (usize, usize, &[usize], bool)) {
        let mut arguments = vec!["pgherd-bench"];
        if !only.is_empty() {
            arguments.extend(["--only", only]);
        }
        let plan = Options::parse_from(arguments).plan().unwrap();
        let Plan { targets, protocols, clients, memory } = plan;
        assert_eq!((targets.len(), protocols.len(), clients.as_slice(), memory), expected);
    }

    #[test]
    fn words_narrow_their_own_kind() {
        check("", (5, 3, &[1, 16, 100], true));
        check("pgherd,haproxy", (2, 3, &[1, 16, 100], true));
        check("simple", (5, 1, &[1, 16, 100], false));
        check("16,prepared,pgherd", (1, 1, &[16], false));
        check("memory", (5, 0, &[], true));
        check("memory,16,simple", (5, 1, &[16], true));
    }

    #[test]
    fn a_word_that_names_nothing_is_refused() {
        let options = Options::parse_from(["pgherd-bench", "--only", "pgcat"]);
        assert!(options.plan().unwrap_err().to_string().contains("pgcat"));
    }
}
