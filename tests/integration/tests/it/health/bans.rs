//! What gets an instance banned from reads, and what brings it back.

use std::time::Duration;

use anyhow::Result;
use pgherd_harness::poll;

use super::stand::{SOON, Stand};

/// The longest that the return of an instance may take.
const RETURN: Duration = Duration::from_secs(5);

#[test]
fn checks_are_seen() -> Result<()> {
    let stand = Stand::start(1, |config| config)?;
    stand.wait_healthy()?;
    stand.primary.sql("INSERT INTO t SELECT generate_series(1, 1000)")?;
    let replica = &stand.replicas[0];
    // It has caught up, whenever it is looked at.
    stand.wait(replica, &[("lag_ms", "0"), ("lag_bytes", "0"), ("reads", "t")])?;
    let (row, primary) = (stand.instance(replica)?, stand.instance(&stand.primary)?);
    assert_eq!(
        (&*row["configured"], &*row["role"], &*row["state"]),
        ("replica", "replica", "open")
    );
    assert!(row["lsn"].contains('/') && primary["lsn"].contains('/'), "{row:?} {primary:?}");
    assert!(row["check_us"].parse::<u64>()? > 0, "{row:?}");
    assert_eq!(row["check_error"], "NULL");
    assert_eq!(primary["lag_ms"], "NULL");
    assert!(stand.bans()?.is_empty());
    Ok(())
}

#[test]
fn a_killed_replica_is_banned_and_comes_back() -> Result<()> {
    let mut stand = Stand::start(2, |config| config)?;
    stand.wait_healthy()?;
    stand.replicas[0].kill9()?;
    stand.wait(&stand.replicas[0], &[("state", "banned"), ("reads", "f")])?;
    let ban = stand.ban()?;
    // The kernel may not have closed its listener when the check connects.
    assert!(["connect_refused", "connection_reset"].contains(&&*ban["class"]), "{ban:?}");
    assert_eq!(ban["source"], "local");
    assert_eq!(ban["port"], stand.replicas[0].port().to_string());
    stand.wait(&stand.replicas[1], &[("state", "open")])?;

    stand.replicas[0].restart()?;
    let took = stand.wait(&stand.replicas[0], &[("state", "open"), ("reads", "t")])?;
    assert!(took < RETURN, "{took:?}");
    assert!(stand.bans()?.is_empty());
    Ok(())
}

#[test]
fn a_frozen_replica_is_banned_and_comes_back() -> Result<()> {
    let stand = Stand::start(1, |config| config)?;
    stand.wait_healthy()?;
    let replica = &stand.replicas[0];
    replica.sigstop()?;
    let took = stand.wait(replica, &[("state", "banned")])?;
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(stand.ban()?["class"], "health_check_failed");

    replica.sigcont()?;
    let took = stand.wait(replica, &[("state", "open")])?;
    assert!(took < RETURN, "{took:?}");
    Ok(())
}

#[test]
fn a_manual_ban_survives_recovery() -> Result<()> {
    let mut stand = Stand::start(2, |config| config)?;
    stand.wait_healthy()?;
    let port = stand.replicas[0].port();
    stand.command(&format!("BAN 127.0.0.1:{port} new disk"))?;
    let ban = stand.ban()?;
    assert_eq!((&*ban["source"], &*ban["reason"]), ("manual", "new disk"));
    assert_eq!((&*ban["remaining"], &*ban["in_force"]), ("NULL", "t"));

    stand.replicas[0].kill9()?;
    poll::until(SOON, "a ban of evidence behind it", || {
        Ok((stand.bans()?.len() == 2).then_some(()))
    })?;
    stand.replicas[0].restart()?;
    poll::until(SOON, "the ban of evidence to end", || {
        Ok((stand.bans()?.len() == 1).then_some(()))
    })?;
    assert_eq!(stand.ban()?["source"], "manual");
    assert_eq!(stand.instance(&stand.replicas[0])?["reads"], "f");

    stand.command(&format!("UNBAN 127.0.0.1:{port}"))?;
    stand.wait(&stand.replicas[0], &[("state", "open"), ("reads", "t")])?;
    Ok(())
}

#[test]
fn a_manual_ban_with_a_duration_ends_by_itself() -> Result<()> {
    let stand = Stand::start(1, |config| config)?;
    stand.wait_healthy()?;
    // pgcat's way to say two seconds.
    stand.command(&format!("BAN 127.0.0.1:{} 2", stand.replicas[0].port()))?;
    stand.wait(&stand.replicas[0], &[("state", "banned")])?;
    stand.wait(&stand.replicas[0], &[("state", "open")])?;
    Ok(())
}

#[test]
fn no_more_than_the_limit_is_banned() -> Result<()> {
    let mut stand = Stand::start(2, |config| config.cluster_setting("max_banned_percent", "50"))?;
    stand.wait_healthy()?;
    for replica in &mut stand.replicas {
        replica.kill9()?;
    }
    let state = |index: usize| -> Result<String> {
        Ok(stand.instance(&stand.replicas[index])?["state"].clone())
    };
    poll::until(SOON, "one to be banned and one held back", || {
        let mut states = [state(0)?, state(1)?];
        states.sort();
        Ok((states == ["banned", "held_back"]).then_some(()))
    })?;
    let bans = stand.bans()?;
    let held_back: Vec<_> = bans.iter().filter(|ban| ban["held_back"] != "NULL").collect();
    assert_eq!((bans.len(), held_back.len()), (2, 1), "{bans:?}");
    Ok(())
}

#[test]
fn a_replica_that_is_too_far_behind_gets_no_reads() -> Result<()> {
    let stand = Stand::start(1, |config| config.cluster_setting("max_replica_lag", "\"1s\""))?;
    stand.wait_healthy()?;
    let replica = &stand.replicas[0];
    replica.sql("SELECT pg_wal_replay_pause()")?;
    // While nobody writes, nothing is missing.
    stand.wait(replica, &[("lag_bytes", "0"), ("state", "open")])?;
    stand.primary.sql("INSERT INTO t SELECT generate_series(1, 1000)")?;
    stand.wait(replica, &[("state", "lagging"), ("reads", "f")])?;
    let row = stand.instance(replica)?;
    assert!(row["lag_bytes"].parse::<u64>()? > 0, "{row:?}");
    assert!(row["lag_ms"].parse::<u64>()? >= 1_000, "{row:?}");
    assert_eq!(stand.ban()?["class"], "replication_lag");

    replica.sql("SELECT pg_wal_replay_resume()")?;
    let took = stand.wait(replica, &[("state", "open"), ("lag_bytes", "0")])?;
    assert!(took < RETURN, "{took:?}");
    Ok(())
}

#[test]
fn a_full_instance_is_not_banned() -> Result<()> {
    let stand = Stand::start(1, |config| config)?;
    stand.wait_healthy()?;
    let replica = &stand.replicas[0];
    // All places are taken, and who has one for the checks is asked to leave it.
    let mut superuser = replica.superuser("app")?;
    let mut held = Vec::new();
    while let Ok(client) = replica.superuser("app") {
        held.push(client);
    }
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";
    let row = poll::until(SOON, "a check that is refused", || {
        superuser.rows(end)?;
        held.extend(replica.superuser("app"));
        let row = stand.instance(replica)?;
        Ok((row["check_error"] != "NULL").then_some(row))
    })?;
    assert_eq!((&*row["state"], &*row["role"]), ("open", "replica"), "{row:?}");
    assert!(stand.bans()?.is_empty());
    Ok(())
}
