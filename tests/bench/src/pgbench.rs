//! Runs pgbench and reads its log of transactions.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pgherd_harness::postgres::{APP_PASSWORD, APP_USER, DATABASE, Postgres};
use pgherd_harness::process::Process;
use pgherd_harness::scratch::Scratch;

use crate::contender::Contender;
use crate::options::{Options, Protocol};

/// How much longer than asked a run may take: logins, and what waits at the end.
const GRACE: Duration = Duration::from_secs(40);

/// One finished transaction: when, in microseconds since the epoch, and how long it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub ended: u64,
    pub latency: u32,
}

/// A pgbench that runs.
#[derive(Debug)]
pub struct Running {
    process: Process,
    scratch: Scratch,
}

/// Loads pgbench's tables and reads them once, so that they are in memory.
pub fn initialize(postgres: &Postgres, scale: u32) -> Result<()> {
    eprintln!("bench: loading pgbench's tables at scale {scale}");
    let arguments = ["-i".to_owned(), "-q".to_owned(), "-s".to_owned(), scale.to_string()];
    let mut running = spawn(postgres, postgres.port(), arguments.to_vec())?;
    let status = running.process.wait(Duration::from_secs(600))?;
    ensure!(status.success(), "pgbench -i: {status}\n{}", running.process.log_tail());
    warm(postgres)
}

/// Reads the tables once, so that they are in memory.
pub fn warm(postgres: &Postgres) -> Result<()> {
    let mut client = postgres.superuser(DATABASE)?;
    client.rows("SELECT sum(abalance) FROM pgbench_accounts")?;
    client.rows("SELECT count(*) FROM pgbench_accounts WHERE aid > 0")?;
    Ok(())
}

/// Starts a run against one contender.
pub fn start(
    options: &Options,
    postgres: &Postgres,
    contender: &Contender,
    protocol: Protocol,
    clients: usize,
) -> Result<Running> {
    let seconds = options.duration().as_secs().to_string();
    let clients_text = clients.to_string();
    // Two threads are enough to keep every pooler busy and leave it its share of the cores.
    let threads = clients.min(2).to_string();
    let mut arguments: Vec<String> = [
        "-n",
        "-l",
        "-b",
        options.workload.name(),
        "-M",
        protocol.name(),
        "-T",
        &seconds,
        "-c",
        &clients_text,
        "-j",
        &threads,
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.extend(["-s".to_owned(), options.scale.to_string()]);
    spawn(postgres, contender.addr().port(), arguments)
}

/// Starts a run of a script of our own.
pub fn start_script(
    options: &Options,
    postgres: &Postgres,
    port: u16,
    script: &Path,
    protocol: Protocol,
    clients: usize,
) -> Result<Running> {
    let (seconds, clients) = (options.duration().as_secs().to_string(), clients.to_string());
    let script = script.display().to_string();
    let mode = protocol.name();
    let words = ["-n", "-l", "-M", mode, "-j", "2", "-T", &seconds, "-c", &clients];
    let mut arguments = words.map(str::to_owned).to_vec();
    arguments.extend(["-f".to_owned(), script]);
    spawn(postgres, port, arguments)
}

fn spawn(postgres: &Postgres, port: u16, mut arguments: Vec<String>) -> Result<Running> {
    let scratch = Scratch::new("pgbench")?;
    if arguments.iter().any(|argument| argument == "-l") {
        arguments.push(format!("--log-prefix={}", scratch.path().join("log").display()));
    }
    arguments.push(format!(
        "host=127.0.0.1 port={port} user={APP_USER} password={APP_PASSWORD} dbname={DATABASE} \
         sslmode=disable gssencmode=disable"
    ));
    let program = postgres.install().program("pgbench");
    let output = scratch.path().join("output.txt");
    let process = Process::spawn("pgbench", &program, &arguments, output)?;
    Ok(Running { process, scratch })
}

// === impl Running ===

impl Running {
    /// Calls `meanwhile` every `interval` until pgbench ends, then reads its transactions.
    pub fn finish(
        mut self,
        expected: Duration,
        interval: Duration,
        mut meanwhile: impl FnMut() -> Result<()>,
    ) -> Result<Vec<Transaction>> {
        let deadline = std::time::Instant::now() + expected + GRACE;
        let status = loop {
            meanwhile()?;
            if let Some(status) = self.process.try_wait()? {
                break status;
            }
            if std::time::Instant::now() > deadline {
                bail!("pgbench does not end\n{}", self.process.log_tail());
            }
            std::thread::sleep(interval);
        };
        ensure!(status.success(), "pgbench: {status}\n{}", self.process.log_tail());
        read_logs(self.scratch.path())
    }
}

/// Each thread of pgbench has written a file of its own.
fn read_logs(directory: &Path) -> Result<Vec<Transaction>> {
    let mut transactions = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with("log.") {
            continue;
        }
        let text = std::fs::read_to_string(entry.path())?;
        for line in text.lines() {
            let transaction = parse_line(line);
            transactions.push(transaction.with_context(|| format!("pgbench's log says {line:?}"))?);
        }
    }
    ensure!(!transactions.is_empty(), "pgbench logged no transaction");
    Ok(transactions)
}

/// `client_id transaction_no time script_no time_epoch time_us`, pgbench(1), "Per-Transaction Logging".
fn parse_line(line: &str) -> Option<Transaction> {
    let mut fields = line.split_ascii_whitespace().skip(2);
    let latency = fields.next()?.parse().ok()?;
    let seconds: u64 = fields.nth(1)?.parse().ok()?;
    let micros: u64 = fields.next()?.parse().ok()?;
    Some(Transaction { ended: seconds * 1_000_000 + micros, latency })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_is_read() {
        let expected = Transaction { ended: 1_412_881_037_912_698, latency: 4241 };
        assert_eq!(parse_line("0 199 4241 0 1412881037 912698"), Some(expected));
        assert_eq!(parse_line("0 199 failed 0 1412881037 912698"), None);
    }
}
