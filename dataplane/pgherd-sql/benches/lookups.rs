//! What a lookup in the cache costs, and what a miss does.
//!
//! `cargo bench -p pgherd-sql`. For instruction counts, `CASE=0 ROUNDS=1000` runs one case so often
//! and does nothing else: two runs under callgrind, and the difference divided.

use std::hint::black_box;

use pgherd_sql::{Cache, analyze, command, directive};

fn main() {
    let number = |name: &str| std::env::var(name).ok().and_then(|it| it.parse::<usize>().ok());
    match (number("CASE"), number("ROUNDS")) {
        (Some(case), Some(rounds)) => repeat(case, rounds),
        _ => divan::main(),
    }
}

fn repeat(case: usize, rounds: usize) {
    let mut cache = Cache::new(1 << 20);
    let (_, text) = texts().swap_remove(case % texts().len());
    for _ in 0..rounds {
        black_box(cache.get(black_box(text.as_bytes())));
    }
}

/// Names and texts: as drivers send them with and without parameters.
fn texts() -> Vec<(&'static str, String)> {
    let columns: Vec<String> =
        (0..60).map(|i| format!("\"t0\".\"column_{i}\" AS t0_c{i}")).collect();
    let orm = |filter: &str| {
        format!(
            "SELECT {} FROM \"orders\" \"t0\" LEFT OUTER JOIN \"customers\" \"t1\" ON \
             \"t0\".\"customer_id\" = \"t1\".\"id\" WHERE {filter} ORDER BY \"t0\".\"id\" ASC",
            columns.join(", ")
        )
    };
    vec![
        ("parameter", "SELECT * FROM users WHERE id = $1".to_owned()),
        ("literal", "SELECT * FROM users WHERE id = 4711".to_owned()),
        (
            "pgbench",
            "UPDATE pgbench_accounts SET abalance = abalance + -3517 WHERE aid = 81723;".to_owned(),
        ),
        ("orm_parameters", orm("\"t0\".\"state\" = $1 AND \"t0\".\"total\" > $2")),
        ("orm_literals", orm("\"t0\".\"state\" = 'open' AND \"t0\".\"total\" > 17.50")),
        (
            "insert_100",
            format!("INSERT INTO t (a, b) VALUES {}(1, 'x')", "(1, 'text'), ".repeat(99)),
        ),
        // Literals where the first word does not decide.
        ("select_in_500", {
            let ids: Vec<String> = (0..500).map(|i| (i * 7919).to_string()).collect();
            format!("SELECT * FROM t WHERE id IN ({})", ids.join(", "))
        }),
        ("select_in_4000", {
            let ids: Vec<String> = (0..4000).map(|i| (i * 7919).to_string()).collect();
            format!("SELECT * FROM t WHERE id IN ({})", ids.join(", "))
        }),
        ("select_in_100_uuids", {
            let ids: Vec<String> = (0..100)
                .map(|i| format!("'5f0c{i:04}-7b1e-4d55-9a77-3c8f12ab9d{:02}'", i % 90))
                .collect();
            format!("SELECT * FROM t WHERE id IN ({})", ids.join(", "))
        }),
        ("select_in_300_bigints", {
            let ids: Vec<String> =
                (0..300).map(|i| (1_730_000_000_000_u64 + i * 7919).to_string()).collect();
            format!("SELECT * FROM t WHERE id IN ({})", ids.join(","))
        }),
        ("select_in_200_pairs", {
            let ids: Vec<String> = (0..200).map(|i| format!("({}, 'text')", i * 7919)).collect();
            format!("SELECT * FROM t WHERE (id, a) IN ({})", ids.join(", "))
        }),
        // The most that a worker ever parses.
        ("largest", format!("SELECT {}1", "1+".repeat(32_700))),
    ]
}

const CASES: [usize; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

#[divan::bench(args = CASES)]
fn hit(bencher: divan::Bencher<'_, '_>, case: usize) {
    let mut cache = Cache::new(1 << 20);
    let (_, text) = texts().swap_remove(case);
    cache.get(text.as_bytes());
    bencher.bench_local(|| cache.get(black_box(text.as_bytes())));
}

#[divan::bench(args = CASES)]
fn miss(bencher: divan::Bencher<'_, '_>, case: usize) {
    let (_, text) = texts().swap_remove(case);
    bencher.bench_local(|| analyze(black_box(text.as_bytes())));
}

#[divan::bench(args = CASES)]
fn without_comment_or_command(bencher: divan::Bencher<'_, '_>, case: usize) {
    let (_, text) = texts().swap_remove(case);
    bencher.bench_local(|| {
        (directive(black_box(text.as_bytes())), command(black_box(text.as_bytes())))
    });
}
