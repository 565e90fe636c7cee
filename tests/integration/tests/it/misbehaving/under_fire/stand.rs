//! A proxy with one server connection, and a look at what a vanished client left on it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::frontend::{bind, close_statement, execute, parse, sync, terminate};
use pgherd_harness::raw::{Client, Message};

use crate::leaks::grammar;

/// Longer than any salvage.
const SOON: Duration = Duration::from_secs(15);
const SCHEMA: &str = "CREATE TABLE t (n int); CREATE TABLE u (n int); GRANT ALL ON t, u TO app";
/// What a salvage that goes wrong leaves open.
const OPEN: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app' AND state <> 'idle'";

/// How a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The process ended: the kernel closes the connection.
    Closed,
    /// A reset, as from a crashed machine's firewall.
    Reset,
    /// It says goodbye, whatever it was doing.
    Terminated,
}

/// Running servers and the one backend behind the proxy.
pub struct Stand {
    proxy: Proxy,
    postgres: Postgres,
    /// In a database of its own, which does not count.
    side: Client,
    /// What a fresh session sees.
    fresh: Vec<Vec<String>>,
    /// Connections that this test made itself, as Postgres counts them.
    own_sessions: u64,
    /// The backend that the last follower met.
    pub backend: String,
    /// How many different ones there were.
    pub backends: u64,
}

// === impl Exit ===

impl Exit {
    pub const ALL: [Self; 3] = [Self::Closed, Self::Reset, Self::Terminated];

    pub fn leave(self, mut client: Client) -> Result<()> {
        match self {
            Self::Closed => drop(client),
            Self::Reset => client.reset()?,
            Self::Terminated => {
                client.send(&terminate())?;
                drop(client);
            }
        }
        Ok(())
    }
}

// === impl Stand ===

impl Stand {
    pub fn start(mode: &str) -> Result<Self> {
        let postgres = Postgres::builder().setting("log_min_messages", "panic").start()?;
        postgres.sql(SCHEMA)?;
        let fresh = Client::login(postgres.addr())?.rows(&grammar::probe())?;
        let config = ProxyConfig::new(mode, &postgres)
            .pool_size(1)
            .cluster_setting("checkout_timeout", "\"30s\"");
        let proxy = Proxy::start(&config.to_toml())?;
        let side = postgres.superuser("postgres")?;
        let backend = String::new();
        let mut stand =
            Self { proxy, postgres, side, fresh, own_sessions: 2, backend, backends: 0 };
        stand.follow()?;
        Ok(stand)
    }

    pub fn client(&self) -> Result<Client> {
        Client::login(self.proxy.addr())
    }

    /// Waits until the backend runs a query.
    pub fn wait_active(&mut self) -> Result<()> {
        let state = format!("SELECT state FROM pg_stat_activity WHERE pid = {}", self.backend);
        poll::until(SOON, "the query to run", || {
            Ok((self.side.value(&state)? == "active").then_some(()))
        })
    }

    /// How many bytes the proxy has read of its clients.
    pub fn received(&mut self) -> Result<usize> {
        let stats = self.proxy.admin()?.table("SHOW STATS")?;
        Ok(stats.iter().filter_map(|row| row["total_received"].parse::<usize>().ok()).sum())
    }

    /// Waits until it has read so many.
    pub fn wait_received(&mut self, bytes: usize) -> Result<()> {
        poll::until(SOON, "the proxy to read", || Ok((self.received()? >= bytes).then_some(())))
    }

    /// The next client: it must find a clean connection that answers what it is asked.
    pub fn follow(&mut self) -> Result<()> {
        let mut client = self.client()?;
        client.set_deadline(SOON);
        let backend = client.value("SELECT pg_backend_pid()").context("the next client")?;
        let probe = client.rows(&grammar::probe())?;
        ensure!(probe == self.fresh, "not clean: {probe:?} instead of {:?}", self.fresh);
        let left = client.value("SELECT count(*) FROM t")?;
        ensure!(left == "0", "{left} uncommitted rows were committed");
        let answer = echo(&mut client)?;
        ensure!(answer == ["1", "2", "D echo", "C SELECT 1", "3", "Z I"], "{answer:?}");
        client.terminate()?;
        let side = &mut self.side;
        poll::until(SOON, "nothing to run or to be open", || {
            Ok((side.value(OPEN)? == "0").then_some(()))
        })?;
        if self.backend != backend {
            self.backends += 1;
            self.backend = backend;
        }
        Ok(())
    }

    /// Postgres has counted no more connections than the backends that clients met.
    pub fn check_sessions(&mut self) -> Result<()> {
        if self.postgres.install().major() < 14 {
            println!("left out: Postgres counts sessions since 14");
            return Ok(());
        }
        let wanted = self.own_sessions + self.backends;
        let mut counted = 0;
        // Backends hand their counts in when they are idle for a second or end.
        let result = poll::until(SOON, "Postgres to count its sessions", || {
            let sql = "SELECT sessions FROM pg_stat_database WHERE datname = 'app'";
            counted = self.side.value(sql)?.parse::<u64>()?;
            Ok((counted >= wanted).then_some(()))
        });
        result.with_context(|| format!("{counted} of {wanted}"))?;
        ensure!(
            counted == wanted,
            "{counted} sessions, {wanted} wanted: some were made for nothing"
        );
        Ok(())
    }
}

/// Says something by a named statement and gives the answer.
fn echo(client: &mut Client) -> Result<Vec<String>> {
    let messages = [
        parse("echo", "SELECT 'echo'", &[]),
        bind("", "echo", &[]),
        execute("", 0),
        close_statement("echo"),
        sync(),
    ];
    client.send(&messages.concat())?;
    let answer = client.until_ready(1)?;
    let line = |message: &Message| match message.data_row() {
        Some(row) => {
            let texts = row.iter().map(|value| String::from_utf8_lossy(value.unwrap_or_default()));
            format!("D {}", texts.collect::<Vec<_>>().join(" "))
        }
        None => {
            let body = String::from_utf8_lossy(&message.body).trim_end_matches('\0').to_owned();
            format!("{} {body}", char::from(message.tag)).trim_end().to_owned()
        }
    };
    Ok(answer.iter().map(line).collect())
}
