//! A replica that falls behind while clients write and read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pgherd_harness::poll;
use pgherd_harness::raw::Client;

use super::stand::{SOON, Stand};
use crate::beside::Beside;

const MAX_LAG: Duration = Duration::from_secs(1);
/// How often it is measured, by default: once until the primary is seen to be further, and once until the
/// replica is seen not to be.
const CHECKED: Duration = Duration::from_secs(1);
/// The longest that the return of an instance may take.
const RETURN: Duration = Duration::from_secs(5);
/// A check itself, and the read that is under way.
const LATE: Duration = Duration::from_millis(500);
const READERS: usize = 3;

/// Where a read was answered, when it was sent, and what it saw.
struct Seen {
    port: String,
    begun: Instant,
}

/// Repeats `work` until told to stop.
fn repeat<T: Send + 'static>(
    stop: &Arc<AtomicBool>,
    mut work: impl FnMut() -> Result<T> + Send + 'static,
) -> std::thread::JoinHandle<Result<Vec<T>>> {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut done = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            done.push(work()?);
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(done)
    })
}

fn read(client: &mut Client) -> Result<Seen> {
    let begun = Instant::now();
    let port = client.value("SELECT port FROM place")?;
    Ok(Seen { port, begun })
}

#[test]
fn a_replica_that_falls_behind_under_load_gets_no_reads_until_it_has_caught_up() -> Result<()> {
    let stand = Stand::start(2, |config| config.cluster_setting("max_replica_lag", "\"1s\""))?;
    let beside = Beside::start(stand.primary.addr())?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writer = stand.client()?;
    let mut n = 1000;
    let writer = repeat(&stop, move || {
        n += 1;
        writer.rows(&format!("INSERT INTO t VALUES ({n})"))
    });
    let readers = (0..READERS).map(|_| {
        let mut client = stand.client()?;
        Ok(repeat(&stop, move || read(&mut client)))
    });
    let readers = readers.collect::<Result<Vec<_>>>()?;

    let behind = &stand.replicas[0];
    let (port, mut looker) = (behind.port().to_string(), stand.client()?);
    let mut wait_read = |what: &str| {
        poll::until(SOON, what, || Ok((read(&mut looker)?.port == port).then_some(())))
    };
    wait_read("reads on it before")?;
    behind.sql("SELECT pg_wal_replay_pause()")?;
    let paused = Instant::now();
    // As long again as it may take to be found.
    std::thread::sleep((MAX_LAG + 2 * CHECKED + LATE) * 2);
    let resumed = Instant::now();
    behind.sql("SELECT pg_wal_replay_resume()")?;
    wait_read("reads on it afterwards")?;
    let back = resumed.elapsed();
    stop.store(true, Ordering::Relaxed);
    let written = writer.join().expect("no panic").context("a write")?;
    let slack = beside.slack()?;
    let due = paused + MAX_LAG + 2 * CHECKED + LATE + slack;
    let mut reads = 0;
    for reader in readers {
        let seen = reader.join().expect("no panic").context("a read")?;
        reads += seen.len();
        let late = |it: &&Seen| it.port == port && it.begun > due && it.begun < resumed;
        let late: Vec<_> = seen.iter().filter(late).map(|it| it.begun - paused).collect();
        ensure!(late.is_empty(), "reads on a replica that is behind, so long after: {late:?}");
        let meanwhile = seen.iter().filter(|it| it.begun > paused && it.begun < resumed);
        ensure!(meanwhile.count() > 100, "the readers did not go on");
    }
    ensure!(written.len() > 100, "only {} writes", written.len());
    println!("{reads} reads, {} writes; reads again {back:?} after it went on", written.len());
    ensure!(back < RETURN + slack, "reads on it again only after {back:?}");
    Ok(())
}
