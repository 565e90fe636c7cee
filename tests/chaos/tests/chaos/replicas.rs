//! What happens to replicas: killed, frozen, restarted; readers hardly notice, the writer not at all.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::raw::Client;

use crate::report::{Limits, May, judge, slack};
use crate::stand::{SOON, Stand};

/// How long most faults last.
const LASTS: Duration = Duration::from_millis(1500);
/// Much longer than the bar for frozen replicas: a proxy that waits is found out.
const FROZEN: Duration = Duration::from_secs(10);
/// What a killed replica may cost a read.
const KILLED_STALL: Duration = Duration::from_millis(500);
/// What a frozen one may cost it.
const FROZEN_STALL: Duration = Duration::from_secs(3);
/// When one that has recovered is in service again.
const IN_SERVICE: Duration = Duration::from_secs(5);

/// Strikes some of two replicas, mends them, waits until they serve, and judges.
fn run(
    hit: usize,
    lasts: Duration,
    stall: Duration,
    strike: impl Fn(&mut Postgres) -> Result<()>,
    mend: impl Fn(&mut Postgres) -> Result<()>,
) -> Result<()> {
    let mut stand = Stand::start(2, crate::seed(), |config| config)?;
    let workload = stand.workload()?;
    for replica in stand.replicas.iter().take(hit) {
        wait_serving(&stand, replica).context("before the fault")?;
    }
    stand.replicas.iter_mut().take(hit).try_for_each(strike)?;
    std::thread::sleep(lasts);
    stand.replicas.iter_mut().take(hit).try_for_each(mend)?;
    let mended = Instant::now();
    for replica in stand.replicas.iter().take(hit) {
        wait_serving(&stand, replica).context("after the fault")?;
    }
    let back = mended.elapsed();
    println!("  in service again {back:?} after recovering");
    let within = IN_SERVICE + slack(workload.noise());
    ensure!(back < within, "in service again only after {back:?}, not {within:?}");
    let operations = {
        // One failure each: a COPY, or a read of which something had come.
        let reads = Limits { failures: 1, stall };
        let writes = Limits { failures: 0, stall: Duration::from_millis(500) };
        let codes = &["cut", "57P01", "57P02"];
        let may = May { codes, retried: true, ..May::see(reads, writes) };
        judge(workload, mended, may, || stand.auditor())?
    };
    let failed = operations.iter().filter(|it| it.failure.is_some()).count();
    println!("  {failed} of {} operations failed", operations.len());
    Ok(())
}

/// Waits until this replica answers reads that come through the proxy.
pub fn wait_serving(stand: &Stand, replica: &Postgres) -> Result<()> {
    let mut client = Client::login(stand.proxy.addr())?;
    let port = replica.port().to_string();
    poll::until(SOON, &format!("the replica on port {port} to serve"), || {
        Ok((client.value("SELECT inet_server_port()")? == port).then_some(()))
    })
}

#[test]
fn one_is_killed() -> Result<()> {
    run(1, LASTS, KILLED_STALL, Postgres::kill9, Postgres::restart)
}

#[test]
fn all_are_killed() -> Result<()> {
    run(2, LASTS, KILLED_STALL, Postgres::kill9, Postgres::restart)
}

#[test]
fn one_is_frozen() -> Result<()> {
    run(1, FROZEN, FROZEN_STALL, |replica| replica.sigstop(), |replica| replica.sigcont())
}

#[test]
fn all_are_frozen() -> Result<()> {
    run(2, FROZEN, FROZEN_STALL, |replica| replica.sigstop(), |replica| replica.sigcont())
}

#[test]
fn one_is_restarted_fast() -> Result<()> {
    run(1, LASTS, KILLED_STALL, Postgres::stop, Postgres::restart)
}

#[test]
fn one_is_restarted_immediately() -> Result<()> {
    run(1, LASTS, KILLED_STALL, Postgres::stop_immediately, Postgres::restart)
}

/// An administrator ends all its sessions; the replica itself is well.
#[test]
fn the_sessions_of_one_are_terminated() -> Result<()> {
    let terminate = |replica: &mut Postgres| {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";
        replica.sql(sql).map(drop)
    };
    run(1, Duration::ZERO, KILLED_STALL, terminate, |_| Ok(()))
}
