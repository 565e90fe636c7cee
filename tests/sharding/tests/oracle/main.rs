//! The oracle: each statement of the corpus on one Postgres with all rows and over shards. What is
//! neither the same nor refused is wrong.

mod cluster;
mod corpus;
mod executor;
mod merging;
mod random;
mod values;
mod writes;

use std::collections::BTreeMap;

use anyhow::Result;
use pgherd_harness::postgres::Postgres;
use tokio_postgres::Client;

use cluster::{Cluster, WHOLE, connect, create_whole};
use corpus::Case;
use executor::{Executor, Outcome, Planned, Whole};
use random::Random;

/// How many random statements are added to the corpus.
const RANDOM: usize = 150;

/// How many statements of a file, by how they were answered.
type Table = BTreeMap<String, BTreeMap<&'static str, usize>>;

#[tokio::test]
async fn three_shards_answer_as_one_postgres() -> Result<()> {
    answers_are_those_of_one_postgres(3, WHOLE[0]).await
}

#[tokio::test]
async fn eight_shards_answer_as_one_postgres_in_german() -> Result<()> {
    answers_are_those_of_one_postgres(8, WHOLE[1]).await
}

#[tokio::test]
async fn two_shards_answer_as_one_postgres_by_bytes() -> Result<()> {
    answers_are_those_of_one_postgres(2, WHOLE[2]).await
}

/// Or they are refused.
async fn answers_are_those_of_one_postgres(
    shards: usize,
    (name, locale): (&str, &str),
) -> Result<()> {
    let postgres = Postgres::start()?;
    let mut cases = corpus::read()?;
    // Their tables are made for the cluster behind a proxy.
    cases.retain(|it| !it.file.starts_with("tenants"));
    assert!(cases.len() >= 500, "{} statements", cases.len());
    // One word of a statement or a file is enough to choose what is run.
    if let Ok(word) = std::env::var("PGHERD_ONLY") {
        cases.retain(|it| it.file.contains(&word) || it.sql.contains(&word));
    }
    let seed = number("PGHERD_SEED").unwrap_or(1);
    let reads = number("PGHERD_RANDOM").unwrap_or(RANDOM);
    let writes = number("PGHERD_RANDOM_WRITES").unwrap_or(reads);
    let mut tapes = vec![(0, Vec::new()); cases.len()];
    for seed in seed..seed + number("PGHERD_SEEDS").unwrap_or(1) {
        let mut random = Random::new(u64::try_from(seed)?);
        for _ in 0..reads {
            cases.push(random.case());
            tapes.push((seed, random.tape.clone()));
        }
        for _ in 0..writes {
            cases.push(random.write());
            tapes.push((seed, Vec::new()));
        }
    }
    println!("PGHERD_SEED={seed}");
    let mut wrong = Vec::new();
    create_whole(&postgres, name, locale).await?;
    let cluster = Cluster::create(&postgres, name, shards).await?;
    let whole = connect(&postgres, name).await?;
    let mut table = Table::new();
    for (case, (seed, tape)) in cases.iter().zip(&tapes) {
        let (verdict, complaint) = judge(&whole, &cluster, case).await?;
        *table.entry(case.file.clone()).or_default().entry(verdict).or_default() += 1;
        if let Some(complaint) = complaint {
            let (case, complaint) = shrunk(&whole, &cluster, case, tape, complaint).await?;
            let complaint = format!("{}: {}\n    {complaint}", case.file, case.sql);
            println!("WRONG with PGHERD_SEED={seed}: {complaint}");
            wrong.push(complaint);
        }
    }
    print(shards, &table);
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// A number from the environment.
fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// A shorter random statement that is wrong as well.
async fn shrunk(
    whole: &Client,
    cluster: &Cluster,
    case: &Case,
    tape: &[usize],
    complaint: String,
) -> Result<(Case, String)> {
    let (mut best, mut tape) = ((case.clone(), complaint), tape.to_vec());
    let mut at = 0;
    while at < tape.len() && tape.len() < 200 {
        let mut shorter = tape.clone();
        if shorter[at] != 0 {
            shorter[at] = 0;
            let mut random = Random::of(1, Some(shorter));
            let case = random.case();
            if case.sql.len() <= best.0.sql.len()
                && let (_, Some(complaint)) = judge(whole, cluster, &case).await?
            {
                best = (case, complaint);
                tape = random.tape;
            }
        }
        at += 1;
    }
    Ok(best)
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
        (None, Outcome::Refused(_)) if case.file == "write_random" => None,
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
