//! The fleet at work: pgbench through the load balancer, and what became of its transactions.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::fleet::{Fleet, value, wait_for_replay};
use crate::pgbench::{self, Outcome};

/// What was found.
#[derive(Debug)]
pub struct Report {
    clients: u32,
    time: Duration,
    outcome: Outcome,
    on_primary: u64,
    on_replica: u64,
    shares: Option<Vec<(String, u64)>>,
}

/// Runs pgbench, and checks that each transaction that it counts has left its row in the history.
pub fn run(fleet: &Fleet, clients: u32, time: Duration) -> Result<Report> {
    let (primary, replica) = fleet.servers()?;
    let port = fleet.balancer()?.addr().port();
    let outcome = pgbench::bench(primary.install(), port, clients, time)?;
    let rows = "SELECT count(*) FROM pgbench_history";
    let on_primary: u64 = value(primary, rows)?.parse()?;
    ensure!(
        on_primary == outcome.transactions,
        "pgbench counts {} transactions, but its history has {on_primary} rows",
        outcome.transactions
    );
    wait_for_replay(primary, replica)?;
    let on_replica = value(replica, rows)?.parse()?;
    let shares = fleet.shares(outcome.transactions);
    Ok(Report { clients, time, outcome, on_primary, on_replica, shares })
}

// === impl Report ===

impl Report {
    /// For people.
    pub fn text(&self) -> String {
        let Self { clients, time, outcome, on_primary, on_replica, shares } = self;
        let Outcome { transactions, tps, latency } = outcome;
        let mut lines = vec![
            format!(
                "pgbench through HAProxy (TPC-B-like, prepared statements, {clients} clients, {} s):",
                time.as_secs()
            ),
            format!("  {tps:.0} transactions a second, {latency:.2} ms each"),
            format!("  {transactions} in all, none failed"),
            format!("  its history: {on_primary} rows on the primary, {on_replica} on the replica"),
        ];
        if let Some(shares) = shares {
            let shares: Vec<_> = shares.iter().map(|(id, count)| format!("{id} {count}")).collect();
            lines.push(format!("  as the proxies count: {}", shares.join(", ")));
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_report_reads_well() {
        let report = Report {
            clients: 16,
            time: Duration::from_secs(5),
            outcome: Outcome { transactions: 12345, tps: 2469.4, latency: 6.47 },
            on_primary: 12345,
            on_replica: 12345,
            shares: Some(vec![("proxy-1".to_owned(), 6000), ("proxy-2".to_owned(), 6345)]),
        };
        expect![[r#"
            pgbench through HAProxy (TPC-B-like, prepared statements, 16 clients, 5 s):
              2469 transactions a second, 6.47 ms each
              12345 in all, none failed
              its history: 12345 rows on the primary, 12345 on the replica
              as the proxies count: proxy-1 6000, proxy-2 6345
        "#]]
        .assert_eq(&report.text());
    }
}
