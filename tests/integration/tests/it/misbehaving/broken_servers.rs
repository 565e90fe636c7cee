//! Servers that are not there, refuse, end, or come back.

use std::time::{Duration, Instant};

use anyhow::Result;
use pgherd_harness::poll;
use pgherd_harness::ports::free_port;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::{Client, Login, Message};

const SOON: Duration = Duration::from_secs(8);

/// The error with which a login or the first query ends.
fn refusal(proxy: &Proxy, login: &Login) -> Result<Message> {
    let mut client = Client::connect(proxy.addr())?;
    let mut messages = client.try_login(login)?;
    if messages.last().is_some_and(|message| message.tag == b'Z') {
        messages = client.simple("SELECT 1").or_else(|_| client.rest())?;
    }
    let error = messages.iter().find(|message| message.tag == b'E').cloned();
    error.ok_or_else(|| anyhow::anyhow!("no error: {messages:?}"))
}

#[test]
fn a_server_that_is_not_there_is_a_clear_error_and_others_go_on() -> Result<()> {
    let postgres = Postgres::start()?;
    let nowhere = free_port()?;
    let config = ProxyConfig::transaction(&postgres).to_toml()
        + &format!(
            "[[clusters]]\nname = \"absent\"\nusers = [{{ name = \"app\", password = \"secret\" }}]\n\
             checkout_timeout = \"1s\"\n[[clusters.shards]]\n\
             instances = [{{ host = \"127.0.0.1\", port = {nowhere}, role = \"primary\" }}]\n"
        );
    let proxy = Proxy::start(&config)?;
    let mut bystander = Client::login(proxy.addr())?;
    let begun = Instant::now();
    let error = refusal(&proxy, &Login::default().database("absent"))?;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let (state, text) = (error.sqlstate().unwrap_or_default(), format!("{error:?}"));
    assert!(state.starts_with("08") || state.starts_with("57P0"), "{text}");
    assert!(!text.contains("127.0.0.1"), "addresses are for the log: {text}");
    let log = proxy.log();
    assert!(log.contains(&nowhere.to_string()), "the log does not name the server: {log}");
    assert_eq!(bystander.value("SELECT 1")?, "1");
    assert_eq!(Client::login(proxy.addr())?.value("SELECT 2")?, "2");
    Ok(())
}

#[test]
fn a_wrong_password_for_the_server_is_for_the_operator() -> Result<()> {
    let postgres = Postgres::start()?;
    postgres.sql("CREATE ROLE locked LOGIN PASSWORD 'right'")?;
    let config = ProxyConfig::transaction(&postgres).user("locked", "wrong");
    let proxy = Proxy::start(&config.cluster_setting("checkout_timeout", "\"1s\"").to_toml())?;
    let error = refusal(&proxy, &Login::new("locked", "wrong", "app"))?;
    // The client's own password was right: 28P01 would send it looking in the wrong place.
    assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
    let log = proxy.log();
    assert!(log.contains("28P01") || log.contains("password authentication failed"), "{log}");
    assert_eq!(Client::login(proxy.addr())?.value("SELECT 1")?, "1");
    Ok(())
}

#[test]
fn a_restarted_server_is_found_again() -> Result<()> {
    let mut postgres = Postgres::start()?;
    let proxy = Proxy::start(&ProxyConfig::transaction(&postgres).to_toml())?;
    let mut client = Client::login(proxy.addr())?;
    assert_eq!(client.value("SELECT 1")?, "1");
    postgres.restart()?;
    // The idle connection is dead; that is seen before it is handed out.
    assert_eq!(client.value("SELECT 2")?, "2");
    postgres.kill9()?;
    postgres.restart()?;
    assert_eq!(client.value("SELECT 3")?, "3");
    Ok(())
}

#[test]
fn a_server_that_ends_in_a_transaction_ends_that_transaction() -> Result<()> {
    let mut postgres = Postgres::start()?;
    let config = ProxyConfig::transaction(&postgres).pool_size(2);
    let proxy = Proxy::start(&config.to_toml())?;
    let mut idle = Client::login(proxy.addr())?;
    let mut client = Client::login(proxy.addr())?;
    client.rows("BEGIN")?;
    postgres.kill9()?;
    let told = match client.simple("SELECT 1") {
        Ok(messages) => messages,
        Err(_) => client.rest().unwrap_or_default(),
    };
    assert!(!told.iter().any(|message| message.tag == b'D'), "{told:?}");
    postgres.restart()?;
    assert_eq!(idle.value("SELECT 'still here'")?, "still here");
    Ok(())
}

#[test]
fn a_terminated_backend_costs_one_client_one_query() -> Result<()> {
    let postgres = Postgres::start()?;
    let proxy = Proxy::start(&ProxyConfig::transaction(&postgres).pool_size(2).to_toml())?;
    let mut busy = Client::login(proxy.addr())?;
    busy.rows("BEGIN")?;
    let backend = busy.value("SELECT pg_backend_pid()")?;
    let mut idle = Client::login(proxy.addr())?;
    postgres.sql(&format!("SELECT pg_terminate_backend({backend})"))?;
    poll::until(SOON, "the backend to end", || {
        let sql = format!("SELECT 1 FROM pg_stat_activity WHERE pid = {backend}");
        Ok(postgres.sql(&sql)?.is_empty().then_some(()))
    })?;
    let told = busy.simple("SELECT 1").unwrap_or_default();
    assert!(!told.iter().any(|message| message.tag == b'D'), "{told:?}");
    assert_eq!(idle.value("SELECT 'fine'")?, "fine");
    Ok(())
}

#[test]
fn a_pool_that_stays_full_is_a_clear_error() -> Result<()> {
    let postgres = Postgres::start()?;
    let config = ProxyConfig::transaction(&postgres)
        .pool_size(1)
        .cluster_setting("checkout_timeout", "\"300ms\"");
    let proxy = Proxy::start(&config.to_toml())?;
    let mut holder = Client::login(proxy.addr())?;
    holder.rows("BEGIN")?;
    let begun = Instant::now();
    let error = refusal(&proxy, &Login::default())?;
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(3), "{took:?}");
    let text = error.field(b'M').unwrap_or_default();
    assert!(text.contains("connection"), "{error:?}");
    holder.rows("COMMIT")?;
    assert_eq!(Client::login(proxy.addr())?.value("SELECT 1")?, "1");
    Ok(())
}
