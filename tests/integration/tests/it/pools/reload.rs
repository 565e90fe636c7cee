//! A reload moves the pools that have changed and leaves the others, and their counters, alone.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result};
use pgherd_harness::poll;
use pgherd_harness::raw::frontend::query;
use pgherd_harness::raw::{Client, Login};

use super::stand::{OTHER, SOON, Stand};

fn answered(client: &mut Client) -> Result<()> {
    let answer = client.until_ready(1)?;
    anyhow::ensure!(answer.iter().any(|message| message.tag == b'D'), "{answer:?}");
    Ok(())
}

/// The row of a database in `SHOW STATS`, with numbers only.
fn stats(stand: &Stand, database: &str) -> Result<BTreeMap<String, u64>> {
    let table = stand.proxy.admin()?.table("SHOW STATS")?;
    let row = table.iter().find(|row| row["database"] == database);
    let row = row.with_context(|| format!("no {database}: {table:?}"))?;
    Ok(row
        .iter()
        .filter(|(name, _)| name.starts_with("total_"))
        .filter_map(|(name, value)| Some((name.clone(), value.parse().ok()?)))
        .collect())
}

#[test]
fn clients_that_wait_are_moved_or_left_where_they_are() -> Result<()> {
    let mut stand = Stand::start(|config| config.pool_size(1))?;
    let mut holders = [stand.client()?, stand.other()?];
    let mut pids = Vec::new();
    for client in &mut holders {
        pids.push(client.value("SELECT pg_backend_pid()")?);
        client.rows("BEGIN; INSERT INTO t VALUES (1)")?;
    }
    let mut same = [stand.client()?, stand.client()?, stand.client()?];
    let mut moved = [stand.other()?, stand.other()?, stand.other()?];
    for client in same.iter_mut().chain(&mut moved) {
        client.send(&query("SELECT pg_backend_pid()"))?;
    }
    stand.wait_pool("app", &[("cl_waiting", "3")])?;
    stand.wait_pool(OTHER, &[("cl_waiting", "3")])?;
    // Only the second user's pool changes.
    let config = stand.config.clone().user_setting(OTHER, "pool_size", "2");
    stand.proxy.reload(&config.to_toml())?;
    // These have a new pool, and room in it.
    for client in &mut moved {
        answered(client)?;
    }
    // The others are where they were, in the same order behind the same connection.
    stand.wait_pool("app", &[("cl_waiting", "3"), ("sv_active", "1")])?;
    for client in &mut holders {
        client.rows("COMMIT")?;
    }
    for client in &mut same {
        answered(client)?;
    }
    assert_eq!(same[0].value("SELECT pg_backend_pid()")?, pids[0], "an unchanged pool reconnected");
    assert_eq!(stand.postgres.sql("SELECT count(*) FROM t")?, [["2"]]);
    // The connection of the pool that is no more is closed.
    poll::until(SOON, "the old connection to be closed", || {
        let sql = format!("SELECT 1 FROM pg_stat_activity WHERE pid = {}", pids[1]);
        Ok(stand.postgres.sql(&sql)?.is_empty().then_some(()))
    })
}

#[test]
fn clients_go_on_while_the_settings_change_all_the_time() -> Result<()> {
    let mut stand = Stand::start(|config| config.pool_size(2))?;
    let stop = std::sync::atomic::AtomicBool::new(false);
    let addr = stand.proxy.addr();
    std::thread::scope(|scope| -> Result<()> {
        let clients: Vec<_> = (0..8_u64)
            .map(|id| {
                let stop = &stop;
                scope.spawn(move || -> Result<u64> {
                    let mut client = Client::login(addr)?;
                    let mut count = 0;
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        client.rows("BEGIN")?;
                        assert_eq!(client.value(&format!("SELECT {id}"))?, id.to_string());
                        client.rows("COMMIT")?;
                        count += 1;
                    }
                    Ok(count)
                })
            })
            .collect();
        let mut last = BTreeMap::new();
        let mut result = Ok(());
        for round in 0..20 {
            let size = (2 + round % 3).to_string();
            let config = stand.config.clone().user_setting("app", "pool_size", &size);
            stand.proxy.reload(&config.to_toml())?;
            result = stand.wait_pool("app", &[("pool_size", &size)]);
            let now = stats(&stand, "app")?;
            for (name, value) in &last {
                assert!(now[name] >= *value, "{name} went down from {value} to {}", now[name]);
            }
            let before = now["total_xact_count"];
            last = now;
            if result.is_ok() {
                result = poll::until(SOON, "transactions between two reloads", || {
                    Ok((stats(&stand, "app")?["total_xact_count"] > before).then_some(()))
                });
            }
            if result.is_err() {
                break;
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let mut count = 0;
        for client in clients {
            count += client.join().expect("it ends")?;
        }
        result?;
        assert!(count > 20, "{count}");
        poll::until(SOON, "every transaction to be counted", || {
            let now = stats(&stand, "app")?;
            Ok((now["total_xact_count"] == count && now["total_query_count"] == 3 * count)
                .then_some(()))
        })
    })?;
    stand.wait_pool("app", &[("cl_waiting", "0"), ("sv_active", "0")])?;
    poll::until(SOON, "only the connections of the last pool to be left", || {
        Ok((stand.connections()?.to_string() == stand.pool("app")?["sv_idle"]).then_some(()))
    })
}

#[test]
fn a_pool_that_nobody_uses_goes_and_what_it_did_stays() -> Result<()> {
    let stand = Stand::start(|config| {
        config.cluster_setting("idle_timeout", "\"1s\"").cluster_setting("min_pool_size", "1")
    })?;
    let databases = |stand: &Stand| -> Result<Vec<String>> {
        let pools = stand.proxy.admin()?.table("SHOW POOLS")?;
        Ok(pools.iter().map(|row| row["database"].clone()).collect())
    };
    let login = Login::default().database("postgres");
    let mut kept = stand.client()?;
    for round in 1..3 {
        let mut client = Client::login_as(stand.proxy.addr(), &login)?;
        client.rows("SELECT 1")?;
        client.rows("SELECT 2")?;
        drop(client);
        poll::until(SOON, "the unused pool to go", || {
            // The one with an idle client stays.
            Ok((databases(&stand)? == ["app"]).then_some(()))
        })?;
        assert_eq!(stats(&stand, "postgres")?["total_query_count"], 2 * round);
    }
    poll::until(SOON, "its connections to be closed", || {
        let sql = "SELECT 1 FROM pg_stat_activity WHERE usename = 'app' AND application_name <> 'pgherd health check' AND datname = 'postgres'";
        Ok(stand.postgres.sql(sql)?.is_empty().then_some(()))
    })?;
    assert_eq!(kept.value("SELECT 'still here'")?, "still here");
    Ok(())
}

#[test]
fn times_are_those_of_the_work_and_not_of_the_connection() -> Result<()> {
    let stand = Stand::start(|config| config.user_setting(OTHER, "pool_mode", "\"session\""))?;
    let millis = |name: &str, stats: &BTreeMap<String, u64>| stats[name] / 1000;
    // Whatever a busy machine makes of it.
    let most = |begun: Instant| u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    // One after the other, in both modes.
    let mut clients = [stand.client()?, stand.other()?];
    let begun = Instant::now();
    for client in &mut clients {
        client.rows("SELECT pg_sleep(0.1)")?;
    }
    let sum = stats(&stand, "app")?;
    assert_eq!((sum["total_xact_count"], sum["total_query_count"]), (2, 2));
    for name in ["total_xact_time", "total_query_time"] {
        assert!((200..=most(begun)).contains(&millis(name, &sum)), "{sum:?}");
    }
    for client in &mut clients {
        client.rows("BEGIN")?;
        client.rows("SELECT pg_sleep(0.1)")?;
        std::thread::sleep(std::time::Duration::from_millis(150));
        client.rows("COMMIT")?;
    }
    let sum = stats(&stand, "app")?;
    assert_eq!((sum["total_xact_count"], sum["total_query_count"]), (4, 8));
    let most = most(begun);
    assert!((400..=most - 300).contains(&millis("total_query_time", &sum)), "{sum:?}");
    assert!((700..=most).contains(&millis("total_xact_time", &sum)), "{sum:?}");
    Ok(())
}
