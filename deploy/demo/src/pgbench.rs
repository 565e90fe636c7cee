//! Runs pgbench and reads what it reports.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pgherd_harness::postgres::{APP_PASSWORD, APP_USER, DATABASE, Install};

/// What pgbench found.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    /// Transactions that were committed.
    pub transactions: u64,
    /// Transactions per second, without the time to connect.
    pub tps: f64,
    /// Mean latency in milliseconds.
    pub latency: f64,
}

/// Makes and fills pgbench's tables on the server at `port`.
pub fn load(install: &Install, port: u16, scale: u32) -> Result<()> {
    run(install, port, &["--initialize", "--quiet", "--scale", &scale.to_string()]).map(drop)
}

/// The TPC-B-like script with prepared statements.
pub fn bench(install: &Install, port: u16, clients: u32, time: Duration) -> Result<Outcome> {
    let (clients, seconds) = (clients.to_string(), time.as_secs().to_string());
    let arguments = ["--no-vacuum", "--protocol=prepared", "--jobs=1"];
    let arguments =
        [&arguments[..], &["--client", clients.as_str(), "--time", seconds.as_str()]].concat();
    parse(&run(install, port, &arguments)?)
}

/// Its standard output; its standard error is part of the error.
fn run(install: &Install, port: u16, arguments: &[&str]) -> Result<String> {
    let beside = install.program("pgbench");
    let program = if beside.is_file() { beside.as_path() } else { Path::new("pgbench") };
    let output = Command::new(program)
        .args(arguments)
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .args(["--username", APP_USER, DATABASE])
        .env("PGPASSWORD", APP_PASSWORD)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("pgbench ended with {}:\n{}", output.status, said.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn parse(text: &str) -> Result<Outcome> {
    let number = |label: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(label))?;
        rest.split([' ', '/']).find_map(|word| word.parse::<f64>().ok())
    };
    let failed = number("number of failed transactions:").unwrap_or(0.0);
    ensure!(failed == 0.0, "{failed} transactions failed:\n{text}");
    let read = || {
        Some(Outcome {
            transactions: number("number of transactions actually processed:")? as u64,
            tps: number("tps =")?,
            latency: number("latency average =")?,
        })
    };
    read().with_context(|| format!("pgbench reports something unknown:\n{text}"))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const REPORT: &str = "pgbench (15.18)
number of transactions actually processed: 12345
number of failed transactions: 0 (0.000%)
latency average = 6.472 ms
initial connection time = 25.1 ms
tps = 2472.061528 (without initial connection time)
";

    #[track_caller]
    fn check(report: &str, expected: Expect) {
        let said = match parse(report) {
            Ok(outcome) => format!("{outcome:?}"),
            Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
        };
        expected.assert_eq(&said);
    }

    #[test]
    fn reports_are_read() {
        check(REPORT, expect!["Outcome { transactions: 12345, tps: 2472.061528, latency: 6.472 }"]);
        check(&REPORT.replace(": 0 (0.000%)", ": 3 (0.020%)"), expect!["3 transactions failed:"]);
        check("", expect!["pgbench reports something unknown:"]);
    }

    #[test]
    fn older_versions_write_a_slash_or_no_failures() {
        let old = REPORT.replace("12345", "12345/12345").replace("number of failed", "x");
        check(&old, expect!["Outcome { transactions: 12345, tps: 2472.061528, latency: 6.472 }"]);
    }
}
