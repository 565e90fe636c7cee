//! The admin database, metrics, reload and drain.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pgherd_harness::poll;
use pgherd_harness::postgres::{APP_PASSWORD, APP_USER, Postgres};
use pgherd_harness::proxy::{ADMIN_PASSWORD, ADMIN_USER, Proxy, ProxyConfig};
use pgherd_harness::raw::{Client, Login};

const SOON: Duration = Duration::from_secs(8);

type Table = Vec<BTreeMap<String, String>>;

fn start() -> Result<(Postgres, Proxy)> {
    let postgres = Postgres::start()?;
    let proxy = Proxy::start(&ProxyConfig::transaction(&postgres).pool_size(2).to_toml())?;
    Ok((postgres, proxy))
}

/// The row of the application's pool.
fn app(table: &Table) -> Result<&BTreeMap<String, String>> {
    let mut rows = table.iter().filter(|row| row.get("user").is_some_and(|user| user == APP_USER));
    rows.next().with_context(|| format!("no row for {APP_USER}: {table:?}"))
}

#[track_caller]
fn check_columns(table: &Table, wanted: &[&str]) {
    for row in table {
        for column in wanted {
            assert!(row.contains_key(*column), "no column {column} in {row:?}");
        }
    }
}

#[test]
fn show_pools_counts_clients_and_servers() -> Result<()> {
    let (_postgres, proxy) = start()?;
    let mut admin = proxy.admin()?;
    let mut first = Client::login(proxy.addr())?;
    let mut second = Client::login(proxy.addr())?;
    first.rows("SELECT 1")?;
    second.rows("BEGIN")?;
    let columns = ["database", "user", "cl_active", "cl_waiting", "sv_active", "sv_idle"];
    let counts = |admin: &mut Client| -> Result<Vec<String>> {
        let table = admin.table("SHOW POOLS")?;
        check_columns(&table, &columns);
        let pool = app(&table)?;
        Ok(columns[3..].iter().map(|column| pool[*column].clone()).collect())
    };
    // One connection is at work, and none waits. How many are idle depends on the order of arrival.
    poll::until(SOON, "one active server connection", || {
        Ok((counts(&mut admin)?[..2] == ["0", "1"]).then_some(()))
    })?;
    first.rows("BEGIN")?;
    let mut third = Client::login(proxy.addr())?;
    third.send(&pgherd_harness::raw::frontend::query("SELECT 3"))?;
    poll::until(SOON, "two active server connections and one that waits", || {
        Ok((counts(&mut admin)? == ["1", "2", "0"]).then_some(()))
    })?;
    for client in [&mut first, &mut second] {
        client.rows("COMMIT")?;
    }
    third.until_ready(1)?;
    poll::until(SOON, "two idle server connections", || {
        Ok((counts(&mut admin)? == ["0", "0", "2"]).then_some(()))
    })
}

#[test]
fn show_clients_and_servers_list_them() -> Result<()> {
    let (postgres, proxy) = start()?;
    let mut admin = proxy.admin()?;
    let mut client = Client::login(proxy.addr())?;
    client.rows("BEGIN")?;
    let backend = client.value("SELECT pg_backend_pid()")?;

    let clients = admin.table("SHOW CLIENTS")?;
    check_columns(&clients, &["user", "database", "state", "addr", "port"]);
    let port = client.local_addr()?.port().to_string();
    assert!(
        clients.iter().any(|row| row["port"] == port && row["user"] == APP_USER),
        "the client at port {port} is missing: {clients:?}"
    );
    let servers = admin.table("SHOW SERVERS")?;
    check_columns(&servers, &["user", "database", "state", "addr", "port", "remote_pid"]);
    let ours: Vec<_> = servers.iter().filter(|row| row["remote_pid"] == backend).collect();
    assert_eq!(ours.len(), 1, "{servers:?}");
    assert_eq!(ours[0]["port"], postgres.port().to_string());
    assert_eq!(ours[0]["state"], "active");

    drop(client);
    poll::until(SOON, "the client to leave the list", || {
        let clients = admin.table("SHOW CLIENTS")?;
        Ok((!clients.iter().any(|row| row["port"] == port)).then_some(()))
    })
}

#[test]
fn show_stats_counts_transactions_and_queries() -> Result<()> {
    let (_postgres, proxy) = start()?;
    let mut admin = proxy.admin()?;
    let mut client = Client::login(proxy.addr())?;
    for _ in 0..10 {
        client.rows("BEGIN")?;
        client.rows("SELECT 1")?;
        client.rows("COMMIT")?;
    }
    poll::until(SOON, "10 transactions of 30 queries", || {
        let table = admin.table("SHOW STATS")?;
        check_columns(&table, &["database", "total_xact_count", "total_query_count"]);
        let total = |column: &str| -> u64 {
            table.iter().filter_map(|row| row[column].parse::<u64>().ok()).sum()
        };
        let counts = (total("total_xact_count"), total("total_query_count"));
        Ok((counts == (10, 30)).then_some(()))
    })
}

#[test]
fn the_admin_database_answers_what_psql_asks() -> Result<()> {
    let (_postgres, proxy) = start()?;
    let mut admin = proxy.admin()?;
    assert!(!admin.table("SHOW HELP")?.is_empty());
    assert!(!admin.table("SHOW VERSION")?.is_empty());
    let error = admin.rows("SHOW NONSENSE").unwrap_err().to_string();
    assert!(error.contains("NONSENSE") || error.contains("nonsense"), "{error}");
    admin.table("show pools;")?;
    let login = Login::new(ADMIN_USER, ADMIN_PASSWORD, "pgbouncer");
    Client::login_as(proxy.addr(), &login)?.table("SHOW POOLS")?;
    Ok(())
}

#[test]
fn the_admin_database_is_for_admins() -> Result<()> {
    let (_postgres, proxy) = start()?;
    for login in [
        Login::new(APP_USER, APP_PASSWORD, "pgherd"),
        Login::new(ADMIN_USER, "wrong", "pgherd"),
        Login::new("nobody", ADMIN_PASSWORD, "pgherd"),
        Login::new(ADMIN_USER, ADMIN_PASSWORD, "app"),
    ] {
        let messages = Client::connect(proxy.addr())?.try_login(&login)?;
        let state = messages.last().and_then(|message| message.sqlstate());
        assert_eq!(state.as_deref(), Some("28P01"), "{login:?}: {messages:?}");
    }
    Ok(())
}

#[test]
fn a_drain_lets_transactions_finish_and_tells_the_idle() -> Result<()> {
    let (_postgres, mut proxy) = start()?;
    let mut idle = Client::login(proxy.addr())?;
    idle.rows("SELECT 1")?;
    let mut busy = Client::login(proxy.addr())?;
    busy.rows("BEGIN")?;
    proxy.term()?;
    let told = idle.rest()?;
    assert_eq!(told.last().and_then(|message| message.sqlstate()).as_deref(), Some("57P01"));
    assert_eq!(busy.value("SELECT 'still running'")?, "still running");
    let refused = Client::connect(proxy.addr()).and_then(|mut client| {
        let messages = client.try_login(&Login::default())?;
        anyhow::ensure!(messages.last().is_some_and(|message| message.tag == b'Z'));
        Ok(())
    });
    assert!(refused.is_err(), "a draining proxy took a new client");
    busy.rows("COMMIT")?;
    let told = busy.rest()?;
    assert_eq!(told.last().and_then(|message| message.sqlstate()).as_deref(), Some("57P01"));
    assert!(proxy.wait(SOON)?.success(), "{}", proxy.log());
    Ok(())
}

#[test]
fn a_second_term_ends_at_once() -> Result<()> {
    let (_postgres, mut proxy) = start()?;
    let mut idle = Client::login(proxy.addr())?;
    let mut busy = Client::login(proxy.addr())?;
    busy.rows("BEGIN")?;
    proxy.term()?;
    // The drain has begun: two signals at once would be one.
    idle.rest()?;
    assert_eq!(busy.value("SELECT 1")?, "1");
    let begun = Instant::now();
    proxy.term()?;
    proxy.wait(Duration::from_secs(3))?;
    assert!(begun.elapsed() < Duration::from_secs(3));
    Ok(())
}

#[test]
fn a_drain_ends_at_its_deadline() -> Result<()> {
    let postgres = Postgres::start()?;
    let config = ProxyConfig::transaction(&postgres).proxy_setting("shutdown_timeout", "\"500ms\"");
    let mut proxy = Proxy::start(&config.to_toml())?;
    let mut busy = Client::login(proxy.addr())?;
    busy.rows("BEGIN")?;
    proxy.term()?;
    proxy.wait(SOON)?;
    Ok(())
}

#[test]
fn a_reload_takes_new_settings_and_keeps_clients() -> Result<()> {
    let postgres = Postgres::start()?;
    postgres.sql("CREATE ROLE late LOGIN PASSWORD 'comer'")?;
    let config = ProxyConfig::transaction(&postgres);
    let mut proxy = Proxy::start(&config.to_toml())?;
    let mut client = Client::login(proxy.addr())?;
    client.rows("BEGIN")?;
    let late = Login::new("late", "comer", "app");
    assert!(Client::login_as(proxy.addr(), &late).is_err());
    proxy.reload(&config.user("late", "comer").to_toml())?;
    poll::until(SOON, "the new user to be known", || {
        Ok(Client::login_as(proxy.addr(), &late).ok().map(drop))
    })?;
    assert_eq!(client.value("SELECT 'kept'")?, "kept");
    client.rows("COMMIT")?;
    assert_eq!(client.value("SELECT 'kept'")?, "kept");
    Ok(())
}

#[tokio::test]
async fn metrics_and_readiness_are_served() -> Result<()> {
    let (_postgres, mut proxy) = start()?;
    let mut client = Client::login(proxy.addr())?;
    client.rows("SELECT 1")?;
    let text = proxy.metrics().await?;
    for line in ["# HELP pgherd_", "# TYPE pgherd_"] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains(APP_PASSWORD), "a password in the metrics");
    let addr = proxy.metrics_addr().context("no metrics")?;
    let status = async |path: &str| -> Result<u16> {
        Ok(reqwest::get(format!("http://{addr}{path}")).await?.status().as_u16())
    };
    assert_eq!((status("/healthz").await?, status("/readyz").await?), (200, 200));
    client.rows("BEGIN")?;
    proxy.term()?;
    poll::until_async(SOON, "readiness to end", async || {
        Ok((status("/readyz").await? == 503).then_some(()))
    })
    .await?;
    client.rows("COMMIT")?;
    Ok(())
}
