//! What happens to Postgres itself: killed, frozen, restarted, without disk or without room.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pgherd_harness::poll;
use pgherd_harness::postgres::{APP_PASSWORD, APP_USER, Postgres};
use pgherd_harness::proxy::ProxyConfig;
use pgherd_harness::raw::{Client, Login};

use crate::report::{Limits, May, judge};
use crate::stand::{SOON, Stand, auditor};
use crate::volume::Volume;

/// How long a fault lasts.
const LASTS: Duration = Duration::from_millis(1500);
/// How long a server may take to come back; what it really took counts as the fault.
const RECOVERY: Duration = Duration::from_secs(1);
/// What a client may be told by a server that is going down or coming up.
const SHUTDOWN: &[&str] = &["57P01", "57P02", "57P03"];

/// At most so many failures for each client, and no stall beyond the fault's time.
fn may(failures: usize, lasts: Duration, codes: &'static [&'static str]) -> May {
    let limits = Limits { failures, stall: lasts + Duration::from_millis(500) };
    May { codes, ..May::see(limits, limits) }
}

/// Strikes the only server, mends it, and judges.
fn run(
    failures: usize,
    codes: &'static [&'static str],
    strike: impl FnOnce(&mut Postgres) -> Result<()>,
    mend: impl FnOnce(&mut Postgres) -> Result<()>,
) -> Result<()> {
    let mut stand = Stand::start(0, crate::seed(), |config| config)?;
    let workload = stand.workload()?;
    let begun = Instant::now();
    strike(&mut stand.primary)?;
    std::thread::sleep(LASTS);
    mend(&mut stand.primary)?;
    let lasted = begun.elapsed();
    println!("  the fault lasted {lasted:?}");
    ensure!(lasted < (LASTS + RECOVERY) * 3, "the server was away {lasted:?}");
    judge(workload, Instant::now(), may(failures, lasted, codes), || stand.auditor()).map(drop)
}

#[test]
fn killed_and_started_again() -> Result<()> {
    run(1, SHUTDOWN, Postgres::kill9, Postgres::restart)
}

#[test]
fn frozen_for_a_while() -> Result<()> {
    run(0, &[], |primary| primary.sigstop(), |primary| primary.sigcont())
}

/// `pg_ctl restart -m fast`.
#[test]
fn restarted_fast() -> Result<()> {
    run(1, SHUTDOWN, Postgres::stop, Postgres::restart)
}

/// `pg_ctl restart -m immediate`.
#[test]
fn restarted_immediately() -> Result<()> {
    run(1, SHUTDOWN, Postgres::stop_immediately, Postgres::restart)
}

/// One backend dies of SIGKILL: Postgres ends all others and recovers by itself.
#[test]
fn a_backend_is_killed() -> Result<()> {
    let kill = |primary: &mut Postgres| {
        let pids = primary.sql(&format!(
            "SELECT pid FROM pg_stat_activity WHERE usename = '{APP_USER}' LIMIT 1"
        ))?;
        let pid = pids.first().and_then(|row| row.first()).context("nobody is connected")?;
        let pid = rustix::process::Pid::from_raw(pid.parse()?).context("a process id")?;
        Ok(rustix::process::kill_process(pid, rustix::process::Signal::KILL)?)
    };
    run(1, SHUTDOWN, kill, |_| Ok(()))
}

/// `max_connections` is reached by others, and what the proxy had is gone.
#[test]
fn no_connection_to_be_had() -> Result<()> {
    // Logging in so many takes its time, too.
    let patient = |config: ProxyConfig| config.cluster_setting("checkout_timeout", "\"30s\"");
    let stand = Stand::start(0, crate::seed(), patient)?;
    let workload = stand.workload()?;
    let begun = Instant::now();
    let direct = Login::new(APP_USER, APP_PASSWORD, "app");
    let mut hogs = Vec::new();
    // Whoever comes through the proxy comes too late.
    stand.faults[0].refuse()?;
    stand.primary.sql(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{APP_USER}'"
    ))?;
    let full = poll::until(SOON, "all connections to be taken", || {
        match Client::login_as(stand.primary.addr(), &direct) {
            Ok(hog) => hogs.push(hog),
            Err(error) => return Ok(Some(error.to_string())),
        }
        Ok(None)
    })?;
    ensure!(full.contains("53300"), "{full}");
    stand.faults[0].accept()?;
    println!("  {} connections taken after {:?}", hogs.len(), begun.elapsed());
    std::thread::sleep(LASTS);
    drop(hogs);
    let lasted = begun.elapsed();
    println!("  the fault lasted {lasted:?}");
    judge(workload, Instant::now(), may(1, lasted, SHUTDOWN), || stand.auditor()).map(drop)
}

/// The tables are on a disk that is full: writes get Postgres's own error, reads go on.
#[test]
fn no_disk_for_tables() -> Result<()> {
    let volume = Volume::new(16)?;
    let stand = Stand::start(0, crate::seed(), |config| config)?;
    let directory = volume.path().join("tables");
    stand.primary.install().make_private(&directory)?;
    let mut superuser = stand.primary.superuser("app")?;
    superuser.rows(&format!("CREATE TABLESPACE small LOCATION '{}'", directory.display()))?;
    for table in ["accounts", "ledger", "copied", "piped"] {
        superuser.rows(&format!("ALTER TABLE {table} SET TABLESPACE small"))?;
    }
    let workload = stand.workload()?;
    let ballast = volume.fill()?;
    std::thread::sleep(LASTS);
    drop(ballast);
    let healed = Instant::now();
    // Every write that needs another page fails.
    let writes = Limits { failures: usize::MAX, stall: Duration::from_millis(500) };
    let reads = Limits { failures: 0, ..writes };
    let may = May { codes: &["53100"], ..May::see(reads, writes) };
    judge(workload, healed, may, || stand.auditor())?;
    let log = stand.primary.log();
    ensure!(log.contains("No space left on device"), "the disk was never full");
    Ok(())
}

/// The write-ahead log is on a disk that is full: Postgres panics and cannot start until there is
/// room again.
#[test]
fn no_disk_for_the_log() -> Result<()> {
    let volume = Volume::new(64)?;
    let mut stand = Stand::start(0, crate::seed(), |config| config)?;
    stand.primary.stop()?;
    let (log, moved) = (stand.primary.data_directory().join("pg_wal"), volume.path().join("wal"));
    volume.take(&log, &moved)?;
    stand.primary.restart()?;
    let workload = stand.workload()?;
    let ballast = volume.fill()?;
    let begun = Instant::now();
    // Until there is no segment left to switch to.
    while stand.primary.sql("SELECT pg_switch_wal()").is_ok() {
        ensure!(begun.elapsed() < SOON, "the log's disk is never full");
    }
    std::thread::sleep(LASTS);
    drop(ballast);
    stand.primary.restart()?;
    let lasted = begun.elapsed();
    println!("  the fault lasted {lasted:?}");
    judge(workload, Instant::now(), may(2, lasted, &["57P01", "57P02", "57P03", "53100"]), || {
        auditor(&stand.primary)
    })
    .map(drop)
}
