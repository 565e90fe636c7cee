//! Faults under a bank whose accounts lie on three shards, each with a primary and a replica.
//!
//! Money goes from shard to shard all the while. Whatever dies, nothing of a transfer is half done,
//! lost or doubled, nothing stays prepared, and every connection comes back.

mod bank;
mod clients;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use pgherd_harness::faults::{Set, Toxic};
use pgherd_harness::poll;
use pgherd_harness::postgres::{APP_PASSWORD, APP_USER};
use pgherd_harness::raw::{Client, Login};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::stand::SOON;
use bank::{Bank, SHARDS};
use clients::{Crowd, Faults};

/// How long a fault lasts.
const LASTS: Duration = Duration::from_millis(1500);
/// What a server says that goes down or comes up, and what a proxy says of a connection that broke.
const BROKEN: &[&str] = &["08006", "57P01", "57P02", "57P03", "cut"];
/// The same, with the answer to a COMMIT that nobody can know any more, or that another proxy has
/// undone.
const IN_DOUBT: &[&str] = &["08006", "08007", "40000", "57P01", "57P02", "57P03", "cut"];

/// Strikes, mends, and judges: at most so many failures of each client, with these codes.
fn run(
    failures: usize,
    codes: &[&str],
    strike: impl FnOnce(&mut Bank, &mut StdRng) -> Result<()>,
) -> Result<()> {
    let seed = crate::seed();
    let mut bank = Bank::open(seed, 1)?;
    let crowd = Crowd::start(&bank, seed)?;
    let begun = Instant::now();
    strike(&mut bank, &mut StdRng::seed_from_u64(seed))?;
    println!("  the fault lasted {:?}", begun.elapsed());
    judge(&bank, crowd, Faults { each: failures, codes })
}

fn judge(bank: &Bank, crowd: Crowd, may: Faults<'_>) -> Result<()> {
    crowd.wait_working(SOON)?;
    let told = crowd.stop(may)?;
    bank.settle()?;
    bank.audit(&told)?;
    bank.check_counters()
}

/// The machine with the primary of a shard dies, and its replica takes over: writes wait.
#[test]
fn a_primary_is_killed_and_replaced() -> Result<()> {
    run(1, IN_DOUBT, |bank, _| {
        bank.primaries()[1].kill9()?;
        bank.replicas[1].promote()?;
        bank.has_failed_over(1);
        Ok(())
    })
}

/// The same for all shards, one after the other.
#[test]
fn every_primary_is_killed_and_replaced() -> Result<()> {
    run(SHARDS, IN_DOUBT, |bank, _| {
        for shard in 0..SHARDS {
            bank.primaries()[shard].kill9()?;
            bank.replicas[shard].promote()?;
            bank.has_failed_over(shard);
            std::thread::sleep(LASTS);
        }
        Ok(())
    })
}

/// A shard is frozen for a while: who needs it waits, and nobody is told of it.
#[test]
fn a_shard_is_frozen_for_a_while() -> Result<()> {
    run(0, &[], |bank, _| {
        bank.primaries()[2].sigstop()?;
        std::thread::sleep(LASTS);
        bank.primaries()[2].sigcont()
    })
}

/// `pg_ctl restart -m fast`.
#[test]
fn a_shard_is_restarted() -> Result<()> {
    run(2, IN_DOUBT, |bank, _| {
        bank.primaries()[0].stop()?;
        bank.primaries()[0].restart()
    })
}

/// A shard and its replica are killed and come back.
#[test]
fn a_shard_is_killed_and_started_again() -> Result<()> {
    run(2, IN_DOUBT, |bank, _| {
        bank.primaries()[1].kill9()?;
        std::thread::sleep(LASTS);
        bank.primaries()[1].restart()
    })
}

/// Everything on the way to a shard is dropped; what was under way is lost with its connections.
#[test]
fn the_way_to_a_shard_is_cut() -> Result<()> {
    run(2, IN_DOUBT, |bank, _| {
        bank.faults(1).for_each(|it| it.apply(&Set::both(Toxic::BlackHole)));
        std::thread::sleep(LASTS);
        bank.faults(1).for_each(|it| it.apply_to_live(&Set::both(Toxic::Reset)));
        bank.faults(1).for_each(|it| it.heal());
        Ok(())
    })
}

/// Connections to all shards are reset again and again.
#[test]
fn connections_are_reset_again_and_again() -> Result<()> {
    run(usize::MAX, IN_DOUBT, |bank, rng| {
        for _ in 0..8 {
            let shard = rng.random_range(0..SHARDS);
            bank.faults(shard).for_each(|it| it.apply_to_live(&Set::both(Toxic::Reset)));
            std::thread::sleep(Duration::from_millis(rng.random_range(50..400)));
        }
        Ok(())
    })
}

/// `max_connections` of a shard is reached by others, and what the proxy had there is gone.
#[test]
fn a_shard_has_no_connection_to_give() -> Result<()> {
    run(1, IN_DOUBT, |bank, _| {
        let (server, mut hogs) = (bank.cluster.server(1), Vec::new());
        let login = Login::new(APP_USER, APP_PASSWORD, &bank.cluster.database(1));
        // Who comes through the proxy comes too late.
        bank.faults(1).try_for_each(|it| it.refuse())?;
        server.sql(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{APP_USER}'"
        ))?;
        let full = poll::until(SOON, "all connections to be taken", || {
            match Client::login_as(server.addr(), &login) {
                Ok(hog) => hogs.push(hog),
                Err(error) => return Ok(Some(format!("{error:#}"))),
            }
            Ok(None)
        })?;
        ensure!(full.contains("53300"), "{full}");
        bank.faults(1).try_for_each(|it| it.accept())?;
        std::thread::sleep(LASTS);
        Ok(())
    })
}

/// Nothing but clients that vanish in the middle of what they do.
#[test]
fn clients_vanish() -> Result<()> {
    run(0, &[], |_, _| {
        std::thread::sleep(2 * LASTS);
        Ok(())
    })
}

/// A proxy dies with transactions in the middle of their commit: the other one finishes them.
#[test]
fn a_proxy_is_killed() -> Result<()> {
    let seed = crate::seed();
    let mut bank = Bank::open(seed, 2)?;
    let crowd = Crowd::start(&bank, seed)?;
    bank.proxies[0].kill9()?;
    let begun = Instant::now();
    std::thread::sleep(LASTS);
    bank.settle_old()?;
    println!("  nothing of before was in doubt {:?} later", begun.elapsed());
    judge(&bank, crowd, Faults { each: 2, codes: &["closed", "cut", "unreachable"] })?;
    ensure!(bank.proxies[1].process().try_wait()?.is_none(), "the other proxy has ended, too");
    Ok(())
}

/// A proxy and a shard at once.
#[test]
fn a_proxy_and_a_shard_are_killed() -> Result<()> {
    let seed = crate::seed();
    let mut bank = Bank::open(seed, 2)?;
    let crowd = Crowd::start(&bank, seed)?;
    bank.proxies[0].kill9()?;
    bank.primaries()[2].kill9()?;
    std::thread::sleep(LASTS);
    bank.primaries()[2].restart()?;
    let codes = [BROKEN, &["closed", "unreachable", "08007", "40000"]].concat();
    judge(&bank, crowd, Faults { each: 3, codes: &codes })
}
