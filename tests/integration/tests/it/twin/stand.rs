//! Servers for the twin test, and the ways in which a row is sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use pgherd_harness::certificates::Authority;
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::{Client, Login, Message, frontend};
use rustls::ClientConfig;

use super::compare::{difference, lines};
use super::script::{Row, Then};

/// After so many failures a row's other ways add nothing.
const FAILURES_SHOWN: usize = 2;
/// Longest row that is also sent in single bytes.
const SHORT: usize = 250;

const SCHEMA: &str = "
CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, amount numeric);
CREATE TABLE changing ();
CREATE FUNCTION noisy(word text) RETURNS text LANGUAGE plpgsql AS
    $$BEGIN RAISE NOTICE 'heard %', word; RETURN word; END$$;";
const FILL: &str = "
SET lock_timeout = '5s'; TRUNCATE items;
INSERT INTO items VALUES (1, 'one', 1.50), (2, 'two', NULL), (3, 'three', 3), (4, 'four', 4), (5, 'five', 5)";

/// What is compared with Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Postgres itself, which shows that the rows are deterministic.
    Postgres,
    /// The proxy in transaction mode with an interfering client.
    Transaction,
    /// The same with reads on a replica that has replayed every commit before it is answered.
    Split,
    /// The same with TLS between the client and the proxy and between it and Postgres.
    Encrypted,
    /// The proxy in session mode.
    Session,
    /// The proxy in statement mode, without the rows that leave a transaction open.
    Statement,
}

/// How a row is sent.
#[derive(Clone, Copy, Debug)]
enum Way {
    OneWrite,
    StepByStep,
    ByteByByte,
    CutAt(usize),
}

/// Running servers.
#[derive(Debug)]
pub struct Stand {
    subject: Subject,
    proxy: Option<Proxy>,
    _replica: Option<Postgres>,
    postgres: Postgres,
    /// What a client needs for TLS.
    tls: Option<Arc<ClientConfig>>,
}

/// A client of the subject that is used for many runs, and the one that disturbs it.
struct Pair<'a> {
    stand: &'a Stand,
    client: Option<Client>,
    other: Option<Interferer>,
}

/// Takes the server connection that the other client used last, and leaves its traces on it.
struct Interferer {
    client: Client,
    in_transaction: bool,
}

impl Subject {
    /// Whether a client's next transaction may meet another server connection.
    fn shares_connections(self) -> bool {
        matches!(self, Self::Transaction | Self::Split | Self::Encrypted)
    }
}

// === impl Stand ===

impl Stand {
    /// Starts Postgres and, if the subject is one, a proxy.
    pub fn start(subject: Subject) -> Self {
        Self::try_start(subject).expect("the servers start")
    }

    fn try_start(subject: Subject) -> Result<Self> {
        // Rows provoke errors by the thousand.
        let postgres = Postgres::builder().setting("log_min_messages", "panic");
        let authority = Authority::new()?;
        let certificate = authority.server("server")?;
        let postgres = postgres.tls(&certificate, &authority.path()).start()?;
        let transaction =
            || ProxyConfig::transaction(&postgres).pool_size(2).proxy_setting("workers", "1");
        let replica = match subject {
            Subject::Split => Some(synchronous_replica(&postgres)?),
            _ => None,
        };
        let config = match subject {
            Subject::Postgres => None,
            Subject::Split => {
                let split = transaction().server_tls("disable", "");
                let split = split.cluster_setting("reads", "\"replicas\"");
                replica.as_ref().map(|replica| split.replica(replica))
            }
            // Idle connections stay with a worker: with one worker, its clients meet.
            Subject::Transaction => Some(transaction().server_tls("disable", "")),
            Subject::Encrypted => {
                let encrypted = transaction().tls("require", &certificate, None);
                Some(encrypted.server_tls("require", ""))
            }
            Subject::Statement => Some(ProxyConfig::new("statement", &postgres).pool_size(2)),
            Subject::Session => Some(ProxyConfig::session(&postgres).server_tls("disable", "")),
        };
        let tls = (subject == Subject::Encrypted).then(|| authority.client(true, None));
        let proxy = config.map(|config| Proxy::start(&config.to_toml())).transpose()?;
        Client::login(postgres.addr())?.rows(SCHEMA)?;
        Ok(Self { subject, proxy, _replica: replica, postgres, tls: tls.transpose()? })
    }

    /// Runs every row in every way, and panics with all differences.
    #[track_caller]
    pub fn check(&self, rows: &[Row]) {
        let mut report = Vec::new();
        for row in rows {
            if self.postgres.install().major() < row.since {
                println!("left out, Postgres has it since {}: {}", row.since, row.name);
                continue;
            }
            match self.run_row(row) {
                Ok(failures) if failures.is_empty() => {}
                Ok(failures) => report.push(format!("  {}\n{}", row.name, failures.join("\n"))),
                Err(error) => report.push(format!("  {}\n    {error:#}", row.name)),
            }
        }
        let (failed, all) = (report.len(), rows.len());
        assert!(failed == 0, "{failed} of {all} rows differ\n{}", report.join("\n"));
    }

    fn run_row(&self, row: &Row) -> Result<Vec<String>> {
        let mut side = Client::login(self.postgres.addr())?;
        side.rows(FILL)?;
        let mut direct = Client::login(self.postgres.addr())?;
        let expected = send(&mut direct, row, Way::StepByStep, None).context("on Postgres")?;
        drop(direct);
        if self.subject == Subject::Statement
            && expected.iter().any(|line| line == "Z T" || line == "Z E")
        {
            return Ok(Vec::new());
        }

        let mut failures = Vec::new();
        let mut pair = Pair { stand: self, client: None, other: None };
        for way in ways(row) {
            if row.writes {
                pair.release()?;
                side.rows(FILL)?;
            }
            let failure = match pair.run(row, way) {
                Ok(actual) => difference(&expected, &actual),
                Err(error) => Some(format!("    {error:#}")),
            };
            if let Some(failure) = failure {
                pair.client = None;
                failures.push(format!("   {way:?}\n{failure}"));
            }
            if failures.len() >= FAILURES_SHOWN {
                break;
            }
        }
        Ok(failures)
    }

    fn client(&self) -> Result<Client> {
        if let (Some(proxy), Some(tls)) = (&self.proxy, &self.tls) {
            return Client::login_tls(proxy.addr(), &Login::default(), tls);
        }
        Client::login(self.proxy.as_ref().map_or(self.postgres.addr(), Proxy::addr))
    }
}

/// A replica that shows every change as soon as its transaction has been answered.
fn synchronous_replica(primary: &Postgres) -> Result<Postgres> {
    let replica = primary.streaming_replica()?;
    for setting in ["synchronous_commit = 'remote_apply'", "synchronous_standby_names = '*'"] {
        primary.sql(&format!("ALTER SYSTEM SET {setting}"))?;
    }
    primary.sql("SELECT pg_reload_conf()")?;
    poll::until(Duration::from_secs(15), "the replica to be synchronous", || {
        let state = primary.sql("SELECT sync_state FROM pg_stat_replication")?;
        Ok((state == [["sync"]]).then_some(()))
    })?;
    Ok(replica)
}

fn ways(row: &Row) -> Vec<Way> {
    let mut ways = vec![Way::StepByStep, Way::OneWrite];
    if row.bytes().len() <= SHORT {
        ways.push(Way::ByteByByte);
    }
    ways.extend(row.splits().into_iter().map(Way::CutAt));
    ways
}

// === impl Pair ===

impl Pair<'_> {
    fn run(&mut self, row: &Row, way: Way) -> Result<Vec<String>> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => self.stand.client()?,
        };
        if self.stand.subject.shares_connections() && self.other.is_none() {
            self.other = Some(Interferer::start(self.stand.client()?)?);
        }
        let stream = send(&mut client, row, way, self.other.as_mut())?;
        if !row.closes() {
            tidy(&mut client, &stream).context("tidying up after the row")?;
            self.client = Some(client);
        }
        Ok(stream)
    }

    /// Ends the other client's transaction.
    fn release(&mut self) -> Result<()> {
        match &mut self.other {
            Some(other) if other.in_transaction => other.act(),
            _ => Ok(()),
        }
    }
}

/// Leaves nothing of a run behind in its session.
fn tidy(client: &mut Client, stream: &[String]) -> Result<()> {
    if stream.last().is_some_and(|line| line != "Z I") {
        client.rows("ROLLBACK")?;
    }
    client.rows("DISCARD ALL").map(drop)
}

/// In transaction mode the next step of an idle client meets another server connection, else the
/// rows would show nothing about that.
#[test]
fn the_interfering_client_swaps_server_connections() -> Result<()> {
    let stand = Stand::try_start(Subject::Transaction)?;
    let mut client = stand.client()?;
    let mut other = Interferer::start(stand.client()?)?;
    let mut backends = Vec::new();
    for _ in 0..6 {
        other.act()?;
        backends.push(client.value("SELECT pg_backend_pid()")?);
    }
    let swaps = backends.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(swaps >= 2, "{backends:?}");
    Ok(())
}

/// Sends a row and gives the answer's lines.
fn send(
    client: &mut Client,
    row: &Row,
    way: Way,
    mut other: Option<&mut Interferer>,
) -> Result<Vec<String>> {
    let bytes = row.bytes();
    if let (Way::OneWrite | Way::ByteByByte, Some(other)) = (way, other.as_mut()) {
        other.act()?;
    }
    let sent = match way {
        Way::StepByStep => return send_steps(client, row, &mut other),
        Way::OneWrite => client.send(&bytes),
        Way::ByteByByte => bytes.iter().try_for_each(|&byte| client.send(&[byte])),
        Way::CutAt(point) => {
            let (first, second) = bytes.split_at(point);
            client.send(first).and_then(|()| {
                pause();
                client.send(second)
            })
        }
    };
    if !row.closes() {
        // One that closes may do so before it has read everything.
        sent?;
    }
    let messages =
        if row.closes() { client.rest()? } else { client.until_ready(row.ready_count())? };
    let closed = row.closes() || messages.last().is_none_or(|message| message.tag != b'Z');
    Ok(lines(&messages, closed))
}

fn send_steps(
    client: &mut Client,
    row: &Row,
    other: &mut Option<&mut Interferer>,
) -> Result<Vec<String>> {
    let mut stream: Vec<Message> = Vec::new();
    for (number, step) in row.steps.iter().enumerate() {
        let idle = stream.last().is_none_or(|message| message.tag == b'Z' && message.body == b"I");
        if let (true, Some(other)) = (idle, other.as_mut()) {
            other.act().with_context(|| format!("the other client, before step {number}"))?;
        }
        client.send(&step.messages.concat())?;
        let answer = match step.then {
            Then::Ready(count) => client.until_ready(count),
            Then::Tag(tag) => client.until_tag(tag),
            Then::Closed => client.rest(),
        };
        stream.extend(answer.with_context(|| format!("step {number}"))?);
    }
    Ok(lines(&stream, row.closes()))
}

/// Lets the other side read what was sent, mostly; nothing depends on it.
fn pause() {
    let until = Instant::now() + Duration::from_micros(40);
    while Instant::now() < until {
        std::thread::yield_now();
    }
}

// === impl Interferer ===

impl Interferer {
    /// Its prepared statement has the name that rows use, too.
    fn start(mut client: Client) -> Result<Self> {
        client.send(&[frontend::parse("s1", "SELECT 'other'", &[]), frontend::sync()].concat())?;
        client.until_ready(1)?;
        Ok(Self { client, in_transaction: false })
    }

    /// Begins a transaction and so keeps the connection that came back last, or ends it. Either
    /// way the unnamed statement of that connection is another one afterwards.
    fn act(&mut self) -> Result<()> {
        self.client.rows(if self.in_transaction { "COMMIT" } else { "BEGIN" })?;
        self.in_transaction = !self.in_transaction;
        for (name, value) in [("", "unnamed"), ("s1", "other")] {
            let mut batch = Vec::new();
            if name.is_empty() {
                batch.push(frontend::parse("", "SELECT 'unnamed'", &[]));
            }
            batch.extend([frontend::bind("", name, &[]), frontend::execute("", 0)]);
            batch.push(frontend::sync());
            self.client.send(&batch.concat())?;
            let answer = self.client.until_ready(1)?;
            let row = answer.iter().find_map(Message::data_row);
            let Some([Some(found)]) = row.as_deref() else {
                bail!("no row for statement {name:?}: {answer:?}");
            };
            ensure!(*found == value.as_bytes(), "statement {name:?} gave {}", found.escape_ascii());
        }
        Ok(())
    }
}
