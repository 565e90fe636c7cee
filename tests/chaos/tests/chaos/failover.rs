//! A replica becomes the primary under load, and the old primary comes back.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pgherd_harness::faults::FaultProxy;
use pgherd_harness::poll;
use pgherd_harness::postgres::{Postgres, SUPERUSER, SUPERUSER_PASSWORD};
use pgherd_harness::proxy::Proxy;
use pgherd_harness::raw::{Client, Login};

use crate::report::{Limits, May, judge};
use crate::stand::{SOON, auditor, config, primary};
use crate::workload::{Clients, Workload};

/// What finding the new primary may take: roles are looked at every second.
const NOTICED: Duration = Duration::from_secs(2);
/// How long the old primary is watched.
const WATCHED: Duration = Duration::from_secs(3);

/// A primary and two replicas whose roles pgherd finds out by itself.
struct Cluster {
    proxy: Proxy,
    _faults: Vec<FaultProxy>,
    old: Postgres,
    replicas: Vec<Postgres>,
    seed: u64,
}

impl Cluster {
    fn start() -> Result<Self> {
        let (seed, old) = (crate::seed(), primary()?);
        let replicas = vec![old.streaming_replica()?, old.streaming_replica()?];
        let servers = std::iter::once(&old).chain(&replicas);
        let faults = servers.map(|server| FaultProxy::for_postgres(server.addr(), seed));
        let faults = faults.collect::<Result<Vec<_>>>()?;
        let toml = ["primary", "replica"].iter().fold(config(&faults).to_toml(), |toml, role| {
            toml.replace(&format!("role = {role:?}"), "role = \"auto\"")
        });
        Ok(Self { proxy: Proxy::start(&toml)?, _faults: faults, old, replicas, seed })
    }

    /// A commit is one when a replica has it.
    fn replicate_synchronously(&self) -> Result<()> {
        self.old.sql("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'")?;
        self.old.sql("SELECT pg_reload_conf()")?;
        poll::until(SOON, "two synchronous replicas", || {
            let sql = "SELECT FROM pg_stat_replication WHERE sync_state = 'quorum'";
            Ok((self.old.sql(sql)?.len() == 2).then_some(()))
        })
    }

    fn workload(&self) -> Result<Workload> {
        Workload::start(self.proxy.addr(), &Login::default(), self.seed, Clients::default())
    }

    /// Promotes the replica that has most, and lets the other one follow it. The first of the
    /// replicas is the new primary then.
    fn promote(&mut self) -> Result<()> {
        let received = |replica: &Postgres| -> Result<u64> {
            let sql = "SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0')";
            let rows = replica.sql(sql)?;
            let lsn = rows.first().and_then(|row| row.first()).context("no LSN")?;
            Ok(lsn.parse()?)
        };
        if received(&self.replicas[1])? > received(&self.replicas[0])? {
            self.replicas.swap(0, 1);
        }
        self.replicas[0].promote()?;
        let port = self.replicas[0].port();
        self.replicas[1].sql(&format!(
            "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port={port} user={SUPERUSER} \
             password={SUPERUSER_PASSWORD}'"
        ))?;
        self.replicas[1].sql("SELECT pg_reload_conf()")?;
        Ok(())
    }

    /// The old primary comes back and thinks that it is one still: it must be left alone.
    fn bring_back(&mut self) -> Result<()> {
        self.old.restart()?;
        let written = "SELECT (SELECT count(*) FROM ledger), (SELECT count(*) FROM piped), \
                       (SELECT count(*) FROM copied), pg_is_in_recovery()";
        let before = self.old.sql(written)?;
        let old = self.old.port().to_string();
        let (mut client, until) = (Client::login(self.proxy.addr())?, Instant::now() + WATCHED);
        while Instant::now() < until {
            let read = client.value("SELECT inet_server_port()")?;
            ensure!(read != old, "a read was sent to the old primary");
            let write = client.value("BEGIN; SELECT inet_server_port(); COMMIT")?;
            ensure!(write != old, "a transaction was sent to the old primary");
        }
        let after = self.old.sql(written)?;
        ensure!(before == after, "the old primary was written to: {before:?}, then {after:?}");
        Ok(())
    }

    /// Ends the primary, promotes, lets the old one come back, and judges.
    fn fail_over(
        mut self,
        failures: usize,
        end: impl FnOnce(&mut Postgres) -> Result<()>,
    ) -> Result<()> {
        let workload = self.workload()?;
        let begun = Instant::now();
        end(&mut self.old)?;
        self.promote()?;
        let promoted = Instant::now();
        println!("  promoted after {:?}", promoted - begun);
        let back = workload.wait_done_since(promoted, 2, SOON).context("with a new primary")?;
        println!("  all served by the new primary {back:?} after that");
        self.bring_back()?;
        let writes = Limits { failures, stall: (promoted - begun) + NOTICED };
        let reads = Limits { failures: 1, stall: Duration::from_millis(500) };
        let codes = &["57P01", "57P02", "57P03", "cut"];
        let may = May { codes, back: NOTICED, retried: true, ..May::see(reads, writes) };
        judge(workload, promoted, may, || auditor(&self.replicas[0])).map(drop)
    }
}

/// The primary's machine dies; commits were synchronous, so nothing may be lost.
#[test]
fn the_primary_is_killed() -> Result<()> {
    let cluster = Cluster::start()?;
    cluster.replicate_synchronously()?;
    cluster.fail_over(1, Postgres::kill9)
}

/// A planned change: the primary is stopped, which hands all it has to its replicas.
#[test]
fn the_primary_is_switched_over() -> Result<()> {
    // Who comes back at once may be given a connection that has not heard of the end yet.
    Cluster::start()?.fail_over(2, Postgres::stop)
}

/// The primary is frozen, not dead, when another one is promoted.
#[test]
fn the_primary_is_frozen() -> Result<()> {
    let mut cluster = Cluster::start()?;
    cluster.replicate_synchronously()?;
    let workload = cluster.workload()?;
    let begun = Instant::now();
    cluster.old.sigstop()?;
    cluster.promote()?;
    let promoted = Instant::now();
    println!("  promoted after {:?}", promoted - begun);
    let back = workload.wait_done_since(promoted, 2, SOON).context("with a new primary")?;
    println!("  all served by the new primary {back:?} after that");
    // It wakes up in the middle of what it was doing.
    cluster.old.sigcont()?;
    cluster.bring_back()?;
    let writes = Limits { failures: 1, stall: (promoted - begun) + 2 * NOTICED };
    let reads = Limits { failures: 1, stall: Duration::from_millis(500) };
    let codes = &["57P01", "57P02", "57P03", "cut"];
    let may = May { codes, back: 2 * NOTICED, retried: true, ..May::see(reads, writes) };
    judge(workload, promoted, may, || auditor(&cluster.replicas[0])).map(drop)
}
