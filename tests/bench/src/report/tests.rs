//! The report of a made-up result.

use expect_test::expect;

use super::markdown;
use crate::bars;
use crate::idle::Idle;
use crate::machine::Machine;
use crate::options::{Protocol, Target, Workload};
use crate::summary::{Row, Settings, Summary};
use crate::window::Figures;

fn row(target: Target, cpu: Option<f64>, p50: f64) -> Row {
    let median = Figures { throughput: 1000.0, p50, p90: 2.0 * p50, p99: 3.0 * p50, cpu };
    let protocol = Protocol::Simple;
    Row { protocol, clients: 16, target, median: Some(median), rounds: vec![], failures: vec![] }
}

#[test]
fn a_report_says_all() {
    let mut failed = row(Target::HaProxy, None, 1.0);
    failed.median = None;
    failed.failures = vec!["pgbench: exit status: 2\nand more".to_owned()];
    let rows = vec![
        row(Target::Direct, None, 100.0),
        row(Target::PgBouncer, Some(10.0), 200.0),
        failed,
        row(Target::Pgherd, Some(11.0), 250.0),
        row(Target::Routed, Some(13.2), 300.0),
    ];
    let workload = Workload::SelectOnly;
    let settings =
        Settings { workload, scale: 10, seconds: 5, rounds: 3, pool_size: 20, workers: 0 };
    let idle = vec![Idle { target: Target::Pgherd, clients: 4, before: 1 << 20, with: 1 << 21 }];
    let missing = vec![(Target::HaProxy, "HAProxy is missing".to_owned())];
    let machine = Machine {
        cores: 2,
        processor: "Abacus".to_owned(),
        kernel: "6.1".to_owned(),
        load_before: "0.10".to_owned(),
        versions: vec![("Postgres".to_owned(), "15.18".to_owned())],
        unoptimized: Some("debug".to_owned()),
    };
    let verdicts = Vec::new();
    let mut summary = Summary { machine, settings, missing, rows, idle, verdicts };
    summary.verdicts = bars::judge(&summary);
    expect![[r#"
        # pgherd-bench

        2 cores (Abacus), Linux 6.1, load 0.10 before the run. Postgres 15.18. pgbench select-only at scale 10, 3 rounds of 5 s in turn, medians; transaction pools of 20, SCRAM, loopback TCP, no TLS.

        **pgherd is a debug build: its figures mean nothing.**

        **HAProxy was left out**: HAProxy is missing

        | protocol | clients | through | tps | p50 µs | p90 µs | p99 µs | CPU µs/tx |
        |---|--:|---|--:|--:|--:|--:|--:|
        | simple | 16 | direct | 1000 | 100 | 200 | 300 | – |
        | simple | 16 | PgBouncer | 1000 | 200 | 400 | 600 | 10.0 |
        | simple | 16 | HAProxy | failed: pgbench: exit status: 2 |||||
        | simple | 16 | pgherd | 1000 | 250 | 500 | 750 | 11.0 |
        | simple | 16 | pgherd, routing | 1000 | 300 | 600 | 900 | 13.2 |

        | protocol | clients | | tps | p50 | p90 | p99 | CPU |
        |---|--:|---|--:|--:|--:|--:|--:|
        | simple | 16 | pgherd / PgBouncer | 1.00 | 1.25 | 1.25 | 1.25 | 1.10 |
        | simple | 16 | pgherd, routing / pgherd | 1.00 | 1.20 | 1.20 | 1.20 | 1.20 |

        | memory | clients | PSS before, MiB | PSS with, MiB | KiB per idle client |
        |---|--:|--:|--:|--:|
        | pgherd | 4 | 1.0 | 2.0 | 256.00 |

        | bar | at most | measured | |
        |---|--:|--:|---|
        | CPU per transaction / PgBouncer's, simple, 16 clients | 1.2 | 1.10 | met |
        | p50 / PgBouncer's, simple, 16 clients | 1.2 | 1.25 | MISSED |
        | CPU per transaction / PgBouncer's, extended, 16 clients | 1.2 | – | not measured |
        | p50 / PgBouncer's, extended, 16 clients | 1.2 | – | not measured |
        | CPU per transaction / HAProxy's, prepared, 16 clients | 1.6 | – | not measured |
        | p50 / HAProxy's, prepared, 16 clients | 1.6 | – | not measured |
        | % of throughput lost by routing, simple, 16 clients | 10 | 0.00 | met |
        | % of throughput lost by routing, extended, 16 clients | 10 | – | not measured |
        | % of throughput lost by routing, prepared, 16 clients | 10 | – | not measured |
        | KiB per idle client | 8 | 256.00 | MISSED |
    "#]].assert_eq(&markdown(&summary));
}
