//! Cancels, limits of time, clients that vanish, and the end of the proxy, over shards.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pgherd_harness::poll;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::frontend::query;
use pgherd_harness::raw::{Client, Message};
use pgherd_harness::sharded::ShardedCluster;

const SOON: Duration = Duration::from_secs(8);

struct Stand {
    cluster: ShardedCluster,
    proxy: Proxy,
}

impl Stand {
    fn start(change: impl FnOnce(ProxyConfig) -> ProxyConfig) -> Result<Self> {
        let cluster = ShardedCluster::start(3)?;
        let proxy = Proxy::start(&change(cluster.config()).to_toml())?;
        Ok(Self { cluster, proxy })
    }

    fn client(&self) -> Result<Client> {
        Client::login(self.proxy.addr())
    }

    /// Keeps every user's row locked, and with it writes to all shards.
    fn lock(&self, shard: usize) -> Result<Client> {
        let mut client = self.cluster.shard(shard)?;
        client.rows("BEGIN")?;
        client.rows("UPDATE users SET balance = balance")?;
        Ok(client)
    }

    /// Waits until so many of the clients' queries run.
    fn wait_running(&self, wanted: usize) -> Result<()> {
        let sql = "SELECT query FROM pg_stat_activity WHERE usename = 'app' AND state = 'active' \
                   AND datname LIKE 'app%' AND query LIKE '%/* mine */%'";
        poll::until(SOON, "the queries to run or end", || {
            Ok((self.cluster.server(0).sql(sql)?.len() == wanted).then_some(()))
        })
    }

    /// Waits until nothing of a client is left open in Postgres.
    fn wait_clean(&self) -> Result<()> {
        let sql = "SELECT query FROM pg_stat_activity WHERE usename = 'app' AND state <> 'idle' \
                   AND datname LIKE 'app%' AND query NOT LIKE 'UPDATE users SET balance = balance'";
        poll::until(SOON, "transactions to end", || {
            Ok(self.cluster.server(0).sql(sql)?.is_empty().then_some(()))
        })
    }
}

fn state(messages: &[Message]) -> Option<String> {
    messages.iter().find_map(Message::sqlstate)
}

const ALL: &str = "UPDATE users SET balance = balance + 1 /* mine */";
const SLEEP: &str = "SELECT pg_sleep(60) /* mine */";

#[test]
fn a_cancel_reaches_what_runs() -> Result<()> {
    let stand = Stand::start(|config| config.pool_size(2))?;
    let mut client = stand.client()?;
    let _locked = stand.lock((stand.cluster.place(1)? + 1) % 3)?;
    for sql in [SLEEP, ALL] {
        client.send(&query(sql))?;
        stand.wait_running(1).context(sql)?;
        client.cancel(stand.proxy.addr())?;
        assert_eq!(state(&client.until_ready(1)?).as_deref(), Some("57014"), "{sql}");
        assert_eq!(client.value("SELECT 1")?, "1");
        stand.wait_clean().context(sql)?;
    }
    // In a block it is an error like any other.
    client.rows("BEGIN")?;
    client.rows("UPDATE users SET balance = 0 WHERE id = 1")?;
    client.send(&query(SLEEP))?;
    stand.wait_running(1)?;
    client.cancel(stand.proxy.addr())?;
    assert_eq!(state(&client.until_ready(1)?).as_deref(), Some("57014"));
    assert_eq!(state(&client.simple("SELECT 1")?).as_deref(), Some("25P02"));
    client.rows("ROLLBACK")?;
    stand.wait_clean()
}

#[test]
fn queries_that_take_too_long_are_cancelled() -> Result<()> {
    let stand = Stand::start(|it| it.cluster_setting("query_timeout", "\"300ms\""))?;
    let mut client = stand.client()?;
    let _locked = stand.lock(1)?;
    for sql in [SLEEP, ALL] {
        let begun = Instant::now();
        assert_eq!(state(&client.simple(sql)?).as_deref(), Some("57014"), "{sql}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{sql}: {:?}", begun.elapsed());
        assert_eq!(client.value("SELECT 1")?, "1");
    }
    stand.wait_clean()
}

#[test]
fn who_does_nothing_in_a_transaction_is_told_goodbye() -> Result<()> {
    for (setting, code) in
        [("idle_in_transaction_timeout", "25P03"), ("transaction_timeout", "25P04")]
    {
        let stand = Stand::start(|it| it.cluster_setting(setting, "\"300ms\"").pool_size(1))?;
        let mut client = stand.client()?;
        client.rows("BEGIN")?;
        for id in 1..5 {
            client.rows(&format!("UPDATE users SET balance = 0 WHERE id = {id}"))?;
        }
        assert_eq!(state(&client.rest()?).as_deref(), Some(code), "{setting}");
        stand.wait_clean()?;
        let mut next = stand.client()?;
        assert_eq!(next.value("SELECT count(*) FROM users WHERE balance = 100")?, "60");
    }
    Ok(())
}

#[test]
fn whoever_waits_for_a_connection_too_long_is_told() -> Result<()> {
    let stand =
        Stand::start(|it| it.pool_size(1).cluster_setting("checkout_timeout", "\"300ms\""))?;
    let mut first = stand.client()?;
    let mut second = stand.client()?;
    first.rows("BEGIN")?;
    first.rows("UPDATE users SET balance = 0 WHERE id < 20")?;
    let sql = "SELECT count(*) FROM users";
    assert_eq!(state(&second.simple(sql)?).as_deref(), Some("53300"));
    first.rows("ROLLBACK")?;
    assert_eq!(second.value(sql)?, "60");
    Ok(())
}

#[test]
fn clients_that_vanish_leave_nothing_behind() -> Result<()> {
    let stand = Stand::start(|config| config.pool_size(1))?;
    let locked = stand.lock((stand.cluster.place(1)? + 1) % 3)?;
    for (before, sql) in [(None, SLEEP), (Some("BEGIN"), SLEEP), (None, ALL), (Some("BEGIN"), ALL)]
    {
        let mut client = stand.client()?;
        if let Some(before) = before {
            client.rows(before)?;
            client.rows("UPDATE users SET balance = 0 WHERE id = 1")?;
        }
        client.send(&query(sql))?;
        stand.wait_running(1)?;
        client.reset()?;
        stand.wait_clean().with_context(|| format!("{before:?} {sql}"))?;
    }
    drop(locked);
    let mut client = stand.client()?;
    let sql = "SELECT count(*) FROM users WHERE balance = 100";
    poll::until(SOON, "all rows as they were", || Ok((client.value(sql)? == "60").then_some(())))
}

#[test]
fn the_proxy_lets_transactions_finish() -> Result<()> {
    let mut stand = Stand::start(|config| config)?;
    let mut idle = stand.client()?;
    let mut busy = stand.client()?;
    busy.rows("BEGIN")?;
    busy.rows("UPDATE users SET balance = 7 WHERE id = 1")?;
    stand.proxy.term()?;
    assert_eq!(state(&idle.rest()?).as_deref(), Some("57P01"));
    assert_eq!(busy.value("SELECT balance FROM users WHERE id = 1")?, "7");
    busy.rows("COMMIT")?;
    assert_eq!(state(&busy.rest()?).as_deref(), Some("57P01"));
    assert!(stand.proxy.wait(SOON)?.success());
    assert_eq!(stand.cluster.rows("SELECT id FROM users WHERE balance = 7")?.len(), 1);
    Ok(())
}

#[test]
fn admins_see_clients_and_what_they_do() -> Result<()> {
    let stand = Stand::start(|config| config)?;
    let mut client = stand.client()?;
    client.rows("BEGIN")?;
    client.rows("SELECT * FROM users WHERE id = 1")?;
    let mut admin = stand.proxy.admin()?;
    let clients = admin.table("SHOW CLIENTS")?;
    let mine = clients.iter().find(|row| row["database"] == "app").context("the client")?;
    assert_eq!(mine["state"], "active");
    client.rows("COMMIT")?;
    client.rows("SELECT count(*) FROM users")?;
    let stats = admin.table("SHOW STATS")?;
    let mine = stats.iter().find(|row| row["database"] == "app").context("the database")?;
    assert_eq!(mine["total_xact_count"], "2", "{mine:?}");
    assert_ne!(mine["total_query_count"], "0");
    assert_ne!(mine["total_sent"], "0");
    assert_ne!(mine["total_received"], "0");
    Ok(())
}

#[test]
fn a_shard_that_dies_is_an_error_and_not_the_end() -> Result<()> {
    let cluster = ShardedCluster::builder(2).servers(2).start()?;
    let config = cluster.config().cluster_setting("checkout_timeout", "\"1s\"");
    let proxy = Proxy::start(&config.to_toml())?;
    let mut stand = Stand { cluster, proxy };
    let mut client = stand.client()?;
    assert_eq!(client.value("SELECT count(*) FROM users")?, "60");
    client.rows("BEGIN")?;
    client.rows("UPDATE users SET balance = 0")?;
    stand.cluster.servers()[1].kill9()?;
    let messages = client.simple("SELECT count(*) FROM users")?;
    assert!(state(&messages).is_some_and(|it| it.starts_with("08") || it.starts_with("57")));
    assert_eq!(state(&client.simple("SELECT 1")?).as_deref(), Some("25P02"));
    client.rows("ROLLBACK")?;
    stand.cluster.servers()[1].restart()?;
    poll::until(SOON, "the shard to be back", || {
        let messages = client.simple("SELECT count(*) FROM users WHERE balance = 100")?;
        Ok(state(&messages).is_none().then_some(()))
    })?;
    assert_eq!(client.value("SELECT count(*) FROM users WHERE balance = 100")?, "60");
    Ok(())
}
