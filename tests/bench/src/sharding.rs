//! A cluster of three shards through pgherd, beside one Postgres with the same rows.

use std::fmt::Write;
use std::io::{Read, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pgherd_harness::postgres::{APP_PASSWORD, APP_USER, DATABASE};
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::{Client, Login, frontend};
use pgherd_harness::scratch::Scratch;
use pgherd_harness::sharded::{ShardedCluster, WHOLE};

use crate::options::{Options, Protocol};
use crate::procfs;
use crate::{machine, pgbench, window};

const SHARDS: usize = 3;
const CLIENTS: usize = 16;
const PROTOCOLS: [Protocol; 3] = [Protocol::Simple, Protocol::Extended, Protocol::Prepared];
/// What the proxy may need more for rows that it merges, in MiB.
const MOST_GROWTH: f64 = 16.0;
/// How often the CPU time of a proxy is read.
const INTERVAL: Duration = Duration::from_millis(50);
/// Longest answer.
const PATIENCE: Duration = Duration::from_secs(300);

const ORDERED: &str = "SELECT id, user_id, amount, label FROM items ORDER BY id";
const GROUPED: &str =
    "SELECT user_id % 1000, count(*), sum(amount), avg(amount), max(label) FROM items GROUP BY 1";

/// One figure against its bar.
struct Line {
    what: String,
    one: String,
    sharded: String,
    /// Ratio of the two, larger is better, and what it must be at least.
    ratio: f64,
    bar: f64,
}

/// Measures and reports all.
pub fn run(options: &Options) -> Result<()> {
    let machine = machine::look();
    eprintln!("bench: loading {} rows into {SHARDS} shards and one database", options.rows());
    let stand = Stand::start(options)?;
    let (mut lookups, mut ordered, mut grouped) = (vec![Vec::new(); 3], Vec::new(), Vec::new());
    let mut growth = 0.0_f64;
    for round in 1..=options.rounds() {
        for (protocol, lookups) in PROTOCOLS.into_iter().zip(&mut lookups) {
            let one = stand.lookups(options, protocol, &stand.unsharded)?;
            let three = stand.lookups(options, protocol, &stand.sharded)?;
            let name = protocol.name();
            eprintln!("bench: round {round}: one key, {name}: {:.0} and {:.0}", one.0, three.0);
            lookups.push((one, three));
        }
        let before = procfs::proportional_memory(stand.sharded.pid())?;
        procfs::forget_peak(stand.sharded.pid())?;
        let pair = stand.pair(ORDERED)?;
        let peak = procfs::peak_memory(stand.sharded.pid())?;
        growth = growth.max(mebibytes(peak.saturating_sub(before)));
        eprintln!("bench: round {round}: ORDER BY: {:?} and {:?}", pair.0, pair.1);
        ordered.push(pair);
        let pair = stand.pair(GROUPED)?;
        eprintln!("bench: round {round}: GROUP BY: {:?} and {:?}", pair.0, pair.1);
        grouped.push(pair);
    }
    let rows = options.rows() as f64;
    let seconds = |of: &[(Duration, Duration)]| {
        let one = middle(of.iter().map(|it| it.0.as_secs_f64()).collect());
        (one, middle(of.iter().map(|it| it.1.as_secs_f64()).collect()))
    };
    let (ordered, grouped) = (seconds(&ordered), seconds(&grouped));
    let mut lines: Vec<Line> =
        PROTOCOLS.into_iter().zip(&lookups).map(|(protocol, of)| line(protocol, of)).collect();
    lines.extend([
        Line {
            what: "ORDER BY over all rows: rows a second".to_owned(),
            one: format!("{:.0}", rows / ordered.0),
            sharded: format!("{:.0}", rows / ordered.1),
            ratio: ordered.0 / ordered.1,
            bar: 0.6,
        },
        Line {
            what: format!("the same: MiB that the proxy needs more, at most {MOST_GROWTH}"),
            one: String::new(),
            sharded: format!("{growth:.1}"),
            ratio: MOST_GROWTH / growth.max(0.1),
            bar: 1.0,
        },
        Line {
            what: "grouped aggregates over all rows: seconds".to_owned(),
            one: format!("{:.3}", grouped.0),
            sharded: format!("{:.3}", grouped.1),
            ratio: grouped.0 / grouped.1,
            bar: 1.0,
        },
    ]);
    let text = report(&machine, options, &lines, stand.memory()?);
    let directory = options.output_directory()?;
    std::fs::create_dir_all(&directory).context("cannot make the output directory")?;
    std::fs::write(directory.join("sharding.md"), &text)?;
    println!("{text}");
    Ok(())
}

fn report(
    machine: &machine::Machine,
    options: &Options,
    lines: &[Line],
    memory: (u64, u64),
) -> String {
    let mut text = format!(
        "# pgherd-bench: sharding\n\n{} cores ({}), load {} before the run. {} rows on {SHARDS} \
         shards, all on one server; {} rounds, medians.\n\n",
        machine.cores,
        machine.processor,
        machine.load_before,
        options.rows(),
        options.rounds()
    );
    if let Some(profile) = &machine.unoptimized {
        text.push_str(&format!("**pgherd is a {profile} build: its figures mean nothing.**\n\n"));
    }
    text.push_str(
        "| | one Postgres | three shards | ratio | at least | |\n|---|--:|--:|--:|--:|---|\n",
    );
    for Line { what, one, sharded, ratio, bar } in lines {
        let outcome = if ratio >= bar { "met" } else { "MISSED" };
        writeln!(text, "| {what} | {one} | {sharded} | {ratio:.2} | {bar} | {outcome} |")
            .expect("a String takes everything");
    }
    let (idle, peak) = memory;
    text.push_str(&format!(
        "\nMemory of the proxy over shards: {:.1} MiB before, {:.1} MiB at its peak.\n",
        mebibytes(idle),
        mebibytes(peak)
    ));
    text
}

/// One key, in one protocol.
fn line(protocol: Protocol, of: &[(Lookup, Lookup)]) -> Line {
    let median = |of_one: fn(&(Lookup, Lookup)) -> f64| middle(of.iter().map(of_one).collect());
    let (one, three) = (median(|it| it.0.0), median(|it| it.1.0));
    let (p50_one, p50_three) = (median(|it| it.0.1), median(|it| it.1.1));
    Line {
        what: format!("one key, {}, {CLIENTS} clients, through pgherd: tps", protocol.name()),
        one: format!("{one:.0}, p50 {p50_one:.0} µs"),
        sharded: format!("{three:.0}, p50 {p50_three:.0} µs"),
        ratio: three / one,
        bar: 0.9,
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Transactions per second and the median latency in microseconds.
#[derive(Clone, Copy)]
struct Lookup(f64, f64);

struct Stand {
    cluster: ShardedCluster,
    unsharded: Proxy,
    sharded: Proxy,
    /// Of the proxy over shards, before it did anything.
    idle: u64,
    script: std::path::PathBuf,
    _scratch: Scratch,
}

impl Stand {
    fn start(options: &Options) -> Result<Self> {
        let schema = format!(
            "CREATE TABLE items (id bigint, user_id bigint, amount numeric(10, 2), label text, \
                                 PRIMARY KEY (user_id, id)); \
             INSERT INTO items SELECT i, i, i % 1000 + 0.25, 'item ' || i \
               FROM generate_series(1, {}) i; \
             CREATE INDEX ON items (id)",
            options.rows()
        );
        let cluster = ShardedCluster::builder(SHARDS)
            .setting("shared_buffers", "512MB")
            .setting("max_wal_size", "4GB")
            .setting("synchronous_commit", "off")
            .setting("autovacuum", "off")
            .schema(&schema)
            .sharded_by("user_id")
            .start()?;
        for shard in 0..SHARDS {
            cluster
                .server(shard)
                .superuser(&cluster.database(shard))?
                .rows("VACUUM FULL ANALYZE items")?;
        }
        cluster.server(0).superuser(WHOLE)?.rows("VACUUM FULL ANALYZE items")?;
        let workers = options.workers.to_string();
        let unsharded = ProxyConfig::transaction(cluster.server(0)).named(DATABASE, WHOLE);
        let start = |config: ProxyConfig| {
            let config = config.pool_size(options.pool_size).proxy_setting("workers", &workers);
            Proxy::start(&config.to_toml())
        };
        let (unsharded, sharded) = (start(unsharded)?, start(cluster.config())?);
        let scratch = Scratch::new("bench")?;
        let script = format!(
            "\\set id random(1, {})\nSELECT amount, label FROM items WHERE user_id = :id;\n",
            options.rows()
        );
        let script = scratch.write("lookup.sql", &script)?;
        let idle = procfs::proportional_memory(sharded.pid())?;
        Ok(Self { cluster, unsharded, sharded, idle, script, _scratch: scratch })
    }

    /// Single rows by their key.
    fn lookups(&self, options: &Options, protocol: Protocol, proxy: &Proxy) -> Result<Lookup> {
        let server = self.cluster.server(0);
        let running =
            pgbench::start_script(options, server, proxy.port(), &self.script, protocol, CLIENTS)?;
        let mut samples = Vec::new();
        let transactions = running.finish(options.duration(), INTERVAL, || {
            samples.push(window::sample(Some(proxy.pid()))?);
            Ok(())
        })?;
        let figures = window::figures(&transactions, &samples, true)?;
        Ok(Lookup(figures.throughput, figures.p50))
    }

    /// How long a query takes on the one Postgres, and over shards.
    fn pair(&self, sql: &str) -> Result<(Duration, Duration)> {
        let login = |database| Login::new(APP_USER, APP_PASSWORD, database);
        let one = timed(Client::login_as(self.cluster.server(0).addr(), &login(WHOLE))?, sql)?;
        let sharded = timed(Client::login_as(self.sharded.addr(), &login(DATABASE))?, sql)?;
        ensure!(one.1 == sharded.1, "{} rows against {}: {sql}", one.1, sharded.1);
        Ok((one.0, sharded.0))
    }

    /// Of the proxy over shards: at first, and the most.
    fn memory(&self) -> Result<(u64, u64)> {
        Ok((self.idle, procfs::peak_memory(self.sharded.pid())?))
    }
}

/// Reads an answer and throws it away; how long that took, and how many rows there were.
fn timed(client: Client, sql: &str) -> Result<(Duration, u64)> {
    let mut stream = client.into_stream()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let begun = Instant::now();
    stream.write_all(&frontend::query(sql))?;
    let mut answer = Answer::default();
    let mut chunk = vec![0; 256 * 1024];
    while !answer.is_over {
        let count = stream.read(&mut chunk)?;
        ensure!(count > 0, "closed while answering {sql}");
        answer.take(chunk.get(..count).unwrap_or_default())?;
    }
    Ok((begun.elapsed(), answer.rows))
}

/// How far an answer has come.
#[derive(Default)]
struct Answer {
    rows: u64,
    is_over: bool,
    /// Of the header that has come in part.
    header: Vec<u8>,
    /// Bytes of a body that are still to come.
    left: usize,
    /// That body, if it is an error's.
    error: Option<Vec<u8>>,
}

impl Answer {
    fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(self.left.min(bytes.len()));
            if let Some(error) = &mut self.error {
                error.extend_from_slice(part);
                ensure!(part.len() < self.left, "an error: {}", error.escape_ascii());
            }
            self.left -= part.len();
            bytes = rest;
            if self.left > 0 || bytes.is_empty() {
                return Ok(());
            }
            let (part, rest) = bytes.split_at((5 - self.header.len()).min(bytes.len()));
            self.header.extend_from_slice(part);
            bytes = rest;
            if let [tag, a, b, c, d] = *self.header.as_slice() {
                self.rows += u64::from(tag == b'D');
                self.is_over |= tag == b'Z';
                self.error = (tag == b'E').then(Vec::new);
                self.left = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(4);
                self.header.clear();
            }
        }
        Ok(())
    }
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_however_the_answer_is_cut() {
        let row = [b'D', 0, 0, 0, 6, 0, 0];
        let ready = [b'Z', 0, 0, 0, 5, b'I'];
        let bytes = [&row[..], &row, &ready].concat();
        for size in 1..bytes.len() {
            let mut answer = Answer::default();
            for chunk in bytes.chunks(size) {
                assert!(!answer.is_over || answer.left > 0);
                answer.take(chunk).unwrap();
            }
            assert_eq!((answer.rows, answer.is_over, answer.left), (2, true, 0));
        }
        let error = Answer::default().take(b"E\0\0\0\x06no");
        assert!(error.unwrap_err().to_string().contains("no"));
    }
}
