//! The oracle: each statement of the corpus on one Postgres with all rows and over shards. What is
//! neither the same nor refused is wrong.

mod cluster;
mod corpus;
mod executor;
mod random;
mod values;
mod writes;

use std::collections::BTreeMap;

use anyhow::Result;
use pgherd_harness::postgres::Postgres;
use tokio_postgres::Client;

use cluster::{Cluster, connect, create_whole};
use corpus::Case;
use executor::{Executor, Outcome, Planned, Whole};
use random::Random;

/// How many random statements are added to the corpus.
const RANDOM: usize = 100;

/// How many statements of a file, by how they were answered.
type Table = BTreeMap<String, BTreeMap<&'static str, usize>>;

#[tokio::test]
async fn answers_are_those_of_one_postgres_or_refused() -> Result<()> {
    let postgres = Postgres::start()?;
    create_whole(&postgres).await?;
    let mut cases = corpus::read()?;
    assert!(cases.len() >= 200, "{} statements", cases.len());
    let seed = std::env::var("PGHERD_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    println!("PGHERD_SEED={seed}");
    let mut random = Random::new(seed);
    cases.extend((0..RANDOM).map(|_| random.case()));
    let mut wrong = Vec::new();
    for shards in [2, 3] {
        let cluster = Cluster::create(&postgres, shards).await?;
        let whole = connect(&postgres, "whole").await?;
        let mut table = Table::new();
        for case in &cases {
            let (verdict, complaint) = judge(&whole, &cluster, case).await?;
            *table.entry(case.file.clone()).or_default().entry(verdict).or_default() += 1;
            if let Some(complaint) = complaint {
                wrong
                    .push(format!("{shards} shards: {}: {}\n    {complaint}", case.file, case.sql));
            }
        }
        print(shards, &table);
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// How a statement was answered, and what is wrong with that.
async fn judge(
    whole: &Client,
    cluster: &Cluster,
    case: &Case,
) -> Result<(&'static str, Option<String>)> {
    // Whatever it writes is undone.
    for client in cluster.shards.iter().chain([whole]) {
        client.batch_execute(writes::RESTART).await?;
        client.batch_execute("BEGIN").await?;
    }
    let (expected, _) = Whole(whole).run(case).await?;
    let (got, how) = Planned(cluster, false).run(case).await?;
    let mut complaint = compare(case, &expected, &got);
    if how == "merge" && complaint.is_none() && matches!(got, Outcome::Rows { .. }) {
        // The plan that would do as well.
        let (got, _) = Planned(cluster, true).run(case).await?;
        if !matches!(got, Outcome::Refused(_)) {
            complaint = compare(case, &expected, &got);
        }
    }
    let rows = case.file.starts_with("write") && case.file != "write_ddl";
    if rows && matches!(got, Outcome::Rows { .. }) && complaint.is_none() {
        complaint = writes::compare_tables(whole, &cluster.shards).await?;
    }
    for client in cluster.shards.iter().chain([whole]) {
        client.batch_execute("ROLLBACK").await?;
    }
    let verdict = match (&got, &complaint) {
        (Outcome::Refused(_), _) => "refused",
        (_, Some(_)) => "wrong",
        _ => how,
    };
    Ok((verdict, complaint))
}

fn compare(case: &Case, expected: &Outcome, got: &Outcome) -> Option<String> {
    match (&case.refused, got) {
        (Some(words), Outcome::Refused(construct)) if construct.contains(words) => None,
        (Some(words), _) => Some(format!("should be refused for {words}: {got:.300?}")),
        (None, Outcome::Refused(construct)) => Some(format!("refused: {construct}")),
        _ if sorted(case, expected) == sorted(case, got) => None,
        _ => Some(format!("expected {expected:.400?}\n    got {got:.400?}")),
    }
}

fn sorted(case: &Case, outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    if let Outcome::Rows { rows, .. } = &mut outcome
        && !case.ordered
    {
        rows.sort();
    }
    outcome
}

fn print(shards: usize, table: &Table) {
    println!("{shards} shards");
    let mut sums: BTreeMap<&str, usize> = BTreeMap::new();
    for (file, verdicts) in table {
        let words: Vec<String> = verdicts.iter().map(|(it, n)| format!("{it} {n}")).collect();
        println!("  {file:24} {}", words.join(", "));
        for (verdict, number) in verdicts {
            *sums.entry(verdict).or_default() += number;
        }
    }
    let words: Vec<String> = sums.iter().map(|(it, n)| format!("{it} {n}")).collect();
    println!("  {:24} {}", "all", words.join(", "));
}
