//! Servers that replicate through the proxy: a streaming standby and a logical subscription.

use anyhow::Result;
use pgherd_harness::poll;
use pgherd_harness::postgres::{DATABASE, Postgres, SUPERUSER, SUPERUSER_PASSWORD};

use super::{SOON, start};

/// Waits until a query on this server has this single value.
fn wait_value(server: &Postgres, sql: &str, value: &str) -> Result<()> {
    poll::until(SOON, &format!("{sql} to give {value}"), || {
        // What is asked for may not be there yet.
        let rows = server.sql(sql).unwrap_or_default();
        Ok((rows == [[value]]).then_some(()))
    })
}

#[test]
fn a_streaming_standby_replays() -> Result<()> {
    let (primary, mut proxy) = start()?;
    primary.sql("CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n")?;
    let standby = primary.streaming_replica_through(proxy.addr())?;
    wait_value(&standby, "SELECT count(*) FROM t", "1000")?;
    primary.sql("INSERT INTO t SELECT n FROM generate_series(1, 5000) n")?;
    wait_value(&standby, "SELECT count(*) FROM t", "6000")?;

    let port = format!("SELECT sender_port = {} FROM pg_stat_wal_receiver", proxy.port());
    wait_value(&standby, &port, "t")?;
    let servers = proxy.admin()?.table("SHOW SERVERS")?;
    let senders: Vec<_> = servers.iter().filter(|row| row["replication"] == "physical").collect();
    assert_eq!(senders.len(), 1, "{servers:?}");

    // The standby comes back by itself, to the next proxy at the same address.
    proxy.restart()?;
    primary.sql("INSERT INTO t VALUES (0)")?;
    wait_value(&standby, "SELECT count(*) FROM t", "6001")?;
    // Feedback goes the other way.
    wait_value(&primary, "SELECT bool_and(replay_lsn >= sent_lsn) FROM pg_stat_replication", "t")
}

#[test]
fn synchronous_commit_waits_for_the_standby() -> Result<()> {
    let (primary, proxy) = start()?;
    primary.sql("CREATE TABLE t (n int)")?;
    let standby = primary.streaming_replica_through(proxy.addr())?;
    wait_value(&primary, "SELECT state FROM pg_stat_replication", "streaming")?;
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")?;
    primary.sql("ALTER SYSTEM SET synchronous_commit = 'remote_apply'")?;
    primary.sql("SELECT pg_reload_conf()")?;
    wait_value(&primary, "SELECT sync_state FROM pg_stat_replication", "sync")?;
    for n in 0..20 {
        primary.sql(&format!("INSERT INTO t VALUES ({n})"))?;
        assert_eq!(standby.sql("SELECT max(n) FROM t")?, [[n.to_string()]]);
    }
    Ok(())
}

#[test]
fn a_subscription_copies_and_follows() -> Result<()> {
    let (publisher, proxy) = start()?;
    let subscriber = Postgres::start()?;
    let table = "CREATE TABLE t (n int PRIMARY KEY, word text)";
    publisher.sql(table)?;
    publisher.sql("INSERT INTO t SELECT n, 'word ' || n FROM generate_series(1, 3000) n")?;
    publisher.sql("CREATE PUBLICATION p FOR TABLE t")?;
    subscriber.sql(table)?;
    let connection = format!(
        "host=127.0.0.1 port={} user={SUPERUSER} password={SUPERUSER_PASSWORD} dbname={DATABASE}",
        proxy.port()
    );
    subscriber.sql(&format!("CREATE SUBSCRIPTION s CONNECTION '{connection}' PUBLICATION p"))?;
    wait_value(&subscriber, "SELECT count(*) FROM t", "3000")?;
    publisher.sql("INSERT INTO t VALUES (0, 'zero'); UPDATE t SET word = 'one' WHERE n = 1")?;
    publisher.sql("DELETE FROM t WHERE n > 100")?;
    wait_value(&subscriber, "SELECT count(*) FROM t", "101")?;
    let words = "SELECT string_agg(word, ',' ORDER BY n) FROM t WHERE n < 3";
    wait_value(&subscriber, words, "zero,one,word 2")?;
    let clients = proxy.admin()?.table("SHOW CLIENTS")?;
    assert!(clients.iter().any(|row| row["replication"] == "logical"), "{clients:?}");
    // It drops its slot through the proxy too.
    subscriber.sql("DROP SUBSCRIPTION s")?;
    wait_value(&publisher, "SELECT count(*) FROM pg_replication_slots", "0")
}
