//! How pools grow and shrink: in parallel and bounded, first come first served, with a reserve.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pgherd_harness::poll;
use pgherd_harness::raw::frontend::query;
use pgherd_harness::raw::{Client, Message};

use super::stand::{SOON, Stand, Watch};

/// The value in the only row of an answer.
fn value(messages: &[Message]) -> Result<String> {
    let row = messages.iter().find_map(Message::data_row).context("no row")?;
    let value = row.first().copied().flatten().context("no value")?;
    Ok(String::from_utf8_lossy(value).into_owned())
}

#[test]
fn waiting_clients_are_served_in_the_order_of_their_arrival() -> Result<()> {
    let stand = Stand::start(|config| config.pool_size(1))?;
    let mut holder = stand.client()?;
    holder.rows("CREATE TEMP SEQUENCE ignored")?;
    holder.rows("DISCARD ALL")?;
    stand.postgres.sql("CREATE SEQUENCE served; GRANT ALL ON served TO app")?;
    holder.rows("BEGIN")?;
    // Clients of both workers, which take turns.
    let mut clients = Vec::new();
    for number in 0..24 {
        let mut client = stand.client()?;
        client.send(&query("SELECT nextval('served')"))?;
        stand.wait_pool("app", &[("cl_waiting", &(number + 1).to_string())])?;
        clients.push(client);
    }
    // Some lose patience; the order of the others stays.
    for number in [20, 13, 5, 0] {
        drop(clients.remove(number));
    }
    stand.wait_pool("app", &[("cl_waiting", "20")])?;
    holder.rows("COMMIT")?;
    for (number, client) in clients.iter_mut().enumerate() {
        let answer = client.until_ready(1)?;
        assert_eq!(value(&answer)?, (number + 1).to_string(), "client {number}");
    }
    Ok(())
}

#[test]
fn a_cold_burst_makes_the_whole_pool_at_once_and_no_more() -> Result<()> {
    let stand = Stand::start(|config| config.pool_size(10))?;
    stand.client()?.rows("SELECT 1")?;
    let watch = Watch::start(&stand.postgres)?;
    let mut clients: Vec<Client> = (0..40).map(|_| stand.client()).collect::<Result<_>>()?;
    let begun = Instant::now();
    for client in &mut clients {
        client.send(&query("SELECT pg_sleep(0.3)"))?;
    }
    for client in &mut clients {
        let answer = client.until_ready(1)?;
        assert!(answer.iter().any(|message| message.tag == b'D'), "{answer:?}");
    }
    // Four rounds of ten; one connection alone would take twelve seconds.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1200) && took < Duration::from_secs(3), "{took:?}");
    assert_eq!(watch.most()?, 10);
    stand.wait_pool("app", &[("cl_waiting", "0"), ("sv_active", "0"), ("sv_idle", "10")])
}

#[test]
fn the_least_size_is_there_before_a_client_comes_and_after_a_loss() -> Result<()> {
    let stand =
        Stand::start(|config| config.named("app", "app").cluster_setting("min_pool_size", "3"))?;
    stand.wait_pool("app", &[("sv_idle", "3")])?;
    stand
        .postgres
        .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' AND application_name <> 'pgherd health check'")?;
    poll::until(SOON, "three connections again", || Ok((stand.connections()? == 6).then_some(())))?;
    assert_eq!(stand.pool("app")?["last_error"], "NULL");
    Ok(())
}

#[test]
fn the_reserve_is_for_clients_that_have_waited() -> Result<()> {
    let stand = Stand::start(|config| {
        config
            .pool_size(1)
            .cluster_setting("reserve_pool_size", "1")
            .cluster_setting("reserve_pool_timeout", "\"400ms\"")
    })?;
    let watch = Watch::start(&stand.postgres)?;
    let mut holder = stand.client()?;
    holder.rows("BEGIN")?;
    let mut patient = stand.client()?;
    let begun = Instant::now();
    patient.rows("BEGIN")?;
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(400), "{waited:?}");
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    // There is no more than the reserve.
    let mut third = stand.client()?;
    third.send(&query("SELECT 1"))?;
    assert!(third.drain(Duration::from_millis(900))?.is_empty());
    patient.rows("COMMIT")?;
    third.until_ready(1)?;
    holder.rows("COMMIT")?;
    assert_eq!(watch.most()?, 2);
    // What is beyond the pool's size is closed when nobody needs it.
    stand.wait_pool("app", &[("sv_active", "0"), ("sv_idle", "1")])
}

#[test]
fn a_client_that_never_waits_long_leaves_the_reserve_alone() -> Result<()> {
    let stand = Stand::start(|config| {
        config
            .pool_size(1)
            .cluster_setting("reserve_pool_size", "5")
            .cluster_setting("reserve_pool_timeout", "\"2s\"")
    })?;
    let watch = Watch::start(&stand.postgres)?;
    let mut clients: Vec<Client> = (0..8).map(|_| stand.client()).collect::<Result<_>>()?;
    for client in &mut clients {
        client.send(&query("SELECT pg_sleep(0.05)"))?;
    }
    for client in &mut clients {
        client.until_ready(1)?;
    }
    assert_eq!(watch.most()?, 1);
    Ok(())
}

#[test]
fn idle_connections_are_closed_and_old_ones_replaced() -> Result<()> {
    let stand = Stand::start(|config| {
        config.cluster_setting("idle_timeout", "\"1s\"").user_setting("other", "pool_size", "1")
    })?;
    let mut clients: Vec<Client> = (0..4).map(|_| stand.client()).collect::<Result<_>>()?;
    for client in &mut clients {
        client.rows("BEGIN")?;
    }
    for client in &mut clients {
        client.rows("COMMIT")?;
    }
    assert_eq!(stand.connections()?, 4);
    poll::until(SOON, "idle connections to be closed", || {
        Ok((stand.connections()? == 0).then_some(()))
    })?;
    assert_eq!(clients[0].value("SELECT 1")?, "1");

    let stand = Stand::start(|config| config.cluster_setting("server_lifetime", "\"1s\""))?;
    let mut client = stand.client()?;
    let first = client.value("SELECT pg_backend_pid()")?;
    poll::until(SOON, "another backend", || {
        Ok((client.value("SELECT pg_backend_pid()")? != first).then_some(()))
    })
}
