//! The oracle through the proxy: each statement of the corpus on one Postgres with all rows and, in
//! every way that clients send statements, through a real proxy over shards. What is neither the
//! same nor refused is wrong, and no connection is dropped.

#[path = "../oracle/corpus.rs"]
mod corpus;
#[path = "../oracle/random.rs"]
mod random;
mod stand;
mod verdict;
mod wire;

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;

use stand::Stand;
use verdict::{Verdict, judge};
use wire::Way;

/// How many random statements are added to the corpus.
const RANDOM: usize = 60;
const RANDOM_WRITES: usize = 30;

/// The least share of statements whose answer is exact, in percent, of those that can be.
const EXACT: usize = 95;

#[test]
fn two_shards_answer_as_one_postgres() -> Result<()> {
    check(2, 1)
}

#[test]
fn shards_on_servers_with_other_oids_answer_as_one_postgres() -> Result<()> {
    check(2, 2)
}

#[test]
fn three_shards_answer_as_one_postgres() -> Result<()> {
    check(3, 1)
}

#[test]
fn eight_shards_answer_as_one_postgres() -> Result<()> {
    check(8, 1)
}

/// How many statements had which verdict, by way and whether they stood in a transaction block.
#[derive(Default)]
struct Counts(BTreeMap<(Way, bool), BTreeMap<&'static str, usize>>);

fn check(shards: usize, servers: usize) -> Result<()> {
    let mut cases = corpus::read()?;
    let seed = std::env::var("PGHERD_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    println!("PGHERD_SEED={seed}");
    let mut random = random::Random::new(seed);
    cases.extend((0..RANDOM).map(|_| random.case()));
    cases.extend((0..RANDOM_WRITES).map(|_| random.write()));
    // That shows plans here, which one Postgres does not have.
    cases.retain(|case| case.refused.as_deref() != Some("EXPLAIN"));
    if let Ok(only) = std::env::var("PGHERD_ONLY") {
        let chosen =
            |case: &corpus::Case, it: &str| case.file.contains(it) || case.sql.contains(it);
        cases.retain(|case| only.split('|').any(|it| chosen(case, it)));
    }
    let mut stand = Stand::start(shards, servers)?;
    let mut counts = Counts::default();
    let mut complaints = String::new();
    for case in &cases {
        for in_block in [false, true] {
            for way in Way::ALL {
                if way == Way::Simple && !case.parameters.is_empty() {
                    continue;
                }
                // Nobody could put back what they change.
                if !in_block && ["write_ddl", "tenants_write"].contains(&case.file.as_str()) {
                    continue;
                }
                let verdict = judge(&mut stand, case, way, in_block)?;
                counts.add(case, way, in_block, &verdict);
                if let Verdict::Refused(why) = &verdict
                    && case.refused.is_none()
                    && !in_block
                {
                    println!("refused: {}: {why}", case.sql.replace('\n', " "));
                }
                if let Some(complaint) = verdict.complaint(case) {
                    let place = if in_block { "in a block" } else { "alone" };
                    writeln!(
                        complaints,
                        "{}: {}, {place}: {}\n    {complaint}",
                        case.file,
                        way.name(),
                        case.sql.replace('\n', " ")
                    )?;
                }
            }
        }
    }
    println!("{shards} shards");
    let failed = counts.print();
    assert!(complaints.is_empty(), "{shards} shards:\n{complaints}");
    assert!(failed.is_empty(), "{shards} shards: too few exact answers: {failed}");
    Ok(())
}

impl Counts {
    fn add(&mut self, case: &corpus::Case, way: Way, in_block: bool, verdict: &Verdict) {
        let word = match verdict {
            // Statements that are there to be refused say nothing of the share.
            Verdict::Refused(_) if case.refused.is_some() => "refused as it must",
            other => other.word(),
        };
        *self.0.entry((way, in_block)).or_default().entry(word).or_default() += 1;
    }

    /// Prints all; where too little is exact.
    fn print(&self) -> String {
        let mut failed = String::new();
        for ((way, in_block), words) in &self.0 {
            let of = |word: &str| words.get(word).copied().unwrap_or(0);
            let all: usize = words.values().sum::<usize>() - of("refused as it must");
            let exact = of("exact") + of("exact but for details");
            let said: Vec<String> = words.iter().map(|(word, n)| format!("{word} {n}")).collect();
            let place = if *in_block { "in a block" } else { "alone" };
            let line = format!("{:7} {place:11} {}", way.name(), said.join(", "));
            println!("  {line}");
            if exact * 100 < all * EXACT {
                failed.push_str(&format!("\n  {line}"));
            }
        }
        failed
    }
}
