//! What happens to a replication connection in between, and how it ends.

use std::time::Duration;

use anyhow::{Context, Result};
use pgherd_harness::poll;
use pgherd_harness::postgres::{APP_USER, Postgres};
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::Client;
use pgherd_harness::raw::frontend::{copy_data, query};

use super::{
    SOON, config, last_state, logical, lsn_number, physical, start, start_streaming, status_update,
};
use crate::cancel::{check_cancelled, start_sleeping};

/// Resident memory of a process in KiB.
fn memory(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Waits until the row of the server's process is gone.
fn wait_gone(postgres: &Postgres, pid: &str) -> Result<()> {
    poll::until(SOON, "the server process to end", || {
        let rows = postgres.sql(&format!("SELECT 1 FROM pg_stat_activity WHERE pid = {pid}"))?;
        Ok(rows.is_empty().then_some(()))
    })
}

#[test]
fn it_takes_no_place_in_a_pool() -> Result<()> {
    let (_postgres, proxy) = start()?;
    let mut senders = Vec::new();
    for _ in 0..3 {
        senders.push(Client::login_as(proxy.addr(), &logical())?);
    }
    let backends = senders
        .iter_mut()
        .map(|client| client.value("SELECT pg_backend_pid()"))
        .collect::<Result<std::collections::BTreeSet<_>>>()?;
    assert_eq!(backends.len(), 3, "{backends:?}");
    assert_eq!(Client::login(proxy.addr())?.value("SELECT 1")?, "1");
    Ok(())
}

#[tokio::test]
async fn it_is_shown_and_counted() -> Result<()> {
    let (postgres, proxy) = start()?;
    let mut admin = proxy.admin()?;
    let mut client = Client::login_as(proxy.addr(), &logical())?;
    let mut standby = Client::login_as(proxy.addr(), &physical())?;
    let backend = client.value("SELECT pg_backend_pid()")?;
    start_streaming(&postgres, &mut standby)?;

    let clients = admin.table("SHOW CLIENTS")?;
    let servers = admin.table("SHOW SERVERS")?;
    let kinds = |table: &[std::collections::BTreeMap<String, String>]| -> Vec<String> {
        let mut kinds: Vec<_> = table.iter().map(|row| row["replication"].clone()).collect();
        kinds.sort();
        kinds
    };
    assert_eq!(kinds(&clients), ["logical", "physical"], "{clients:?}");
    assert_eq!(kinds(&servers), ["logical", "physical"], "{servers:?}");
    let row = servers.iter().find(|row| row["remote_pid"] == backend).context("no such server")?;
    let mine = clients.iter().find(|client| client["ptr"] == row["link"]);
    assert_eq!(mine.context("no such client")?["link"], row["ptr"]);
    let lists = admin.table("SHOW LISTS")?;
    let used = lists.iter().find(|row| row["list"] == "used_servers").context("no such list")?;
    assert_eq!(used["items"], "2");
    let text = proxy.metrics().await?;
    let instance = postgres.addr();
    for line in [
        format!(
            "pgherd_replication_connections{{cluster=\"*\",user=\"postgres\",\
             instance=\"{instance}\",kind=\"logical\"}} 1"
        ),
        format!(
            "pgherd_replication_opened_total{{cluster=\"*\",user=\"postgres\",\
             instance=\"{instance}\"}} 2"
        ),
    ] {
        assert!(text.contains(&line), "{line} is missing in {text}");
    }

    drop((client, standby));
    poll::until(SOON, "both to be gone", || {
        let rows = admin.table("SHOW CLIENTS")?.len() + admin.table("SHOW SERVERS")?.len();
        Ok((rows == 0).then_some(()))
    })?;
    wait_gone(&postgres, &backend)
}

#[test]
fn its_key_cancels_its_query() -> Result<()> {
    let (postgres, proxy) = start()?;
    for version in [3 << 16, 3 << 16 | 2] {
        let mut client = Client::login_as(proxy.addr(), &logical().protocol(version))?;
        let other = Client::login_as(proxy.addr(), &logical())?;
        start_sleeping(&postgres, &mut client, "walsender")?;
        other.cancel(proxy.addr())?;
        assert!(client.drain(Duration::from_millis(200))?.is_empty(), "the wrong query ended");
        client.cancel(proxy.addr())?;
        check_cancelled(&mut client);
    }
    Ok(())
}

#[test]
fn what_the_server_says_last_is_heard() -> Result<()> {
    let (postgres, proxy) = start()?;
    let mut client = Client::login_as(proxy.addr(), &logical())?;
    let backend = client.value("SELECT pg_backend_pid()")?;
    let mut standby = Client::login_as(proxy.addr(), &physical())?;
    start_streaming(&postgres, &mut standby)?;
    postgres.sql(&format!("SELECT pg_terminate_backend({backend})"))?;
    let told = client.rest()?;
    assert_eq!(last_state(&told).as_deref(), Some("57P01"), "{told:?}");
    postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")?;
    let told = standby.rest()?;
    assert_eq!(last_state(&told).as_deref(), Some("57P01"), "{told:?}");
    Ok(())
}

#[test]
fn a_server_that_stops_tells_its_senders_last() -> Result<()> {
    let (mut postgres, proxy) = start()?;
    let mut standby = Client::login_as(proxy.addr(), &physical())?;
    start_streaming(&postgres, &mut standby)?;
    let stopping = std::thread::spawn(move || postgres.stop());
    // The server waits until all it wrote has been confirmed.
    let mut last = 0;
    let told = loop {
        let Some(message) = standby.receive()? else { break None };
        if message.tag != b'd' {
            break Some(message);
        }
        let position = match message.body.first() {
            Some(b'w') => message.body.get(1..9).map(|it| (it, message.body.len() as u64 - 25)),
            _ => message.body.get(1..9).map(|it| (it, 0)),
        };
        let (start, len) = position.context("no position")?;
        last = last.max(u64::from_be_bytes(start.try_into()?) + len);
        standby.send(&status_update(last, false))?;
    };
    assert_eq!(told.map(|message| message.tag), Some(b'C'));
    assert!(standby.rest()?.is_empty());
    stopping.join().expect("the thread ends")
}

#[test]
fn a_client_that_vanishes_leaves_no_query_behind() -> Result<()> {
    let (postgres, proxy) = start()?;
    for reset in [false, true] {
        let mut client = Client::login_as(proxy.addr(), &logical())?;
        let backend = client.value("SELECT pg_backend_pid()")?;
        start_sleeping(&postgres, &mut client, "abandoned")?;
        if reset {
            client.reset()?;
        } else {
            drop(client);
        }
        wait_gone(&postgres, &backend)?;
    }
    let mut standby = Client::login_as(proxy.addr(), &physical())?;
    start_streaming(&postgres, &mut standby)?;
    drop(standby);
    poll::until(SOON, "the sender to end", || {
        Ok(postgres.sql("SELECT 1 FROM pg_stat_replication")?.is_empty().then_some(()))
    })
}

#[test]
fn keepalives_keep_both_sides() -> Result<()> {
    let (postgres, proxy) = start()?;
    let login = physical().parameter("options", "-c wal_sender_timeout=600ms");
    let mut silent = Client::login_as(proxy.addr(), &login)?;
    let mut answering = Client::login_as(proxy.addr(), &login)?;
    start_streaming(&postgres, &mut silent)?;
    let lsn = lsn_number(&start_streaming(&postgres, &mut answering)?)?;
    let mut asked = 0;
    while asked < 5 {
        let message = answering.expect_message()?;
        assert_eq!(message.tag, b'd', "{message:?}");
        if message.body.first() == Some(&b'k') && message.body.last() == Some(&1) {
            asked += 1;
            answering.send(&status_update(lsn, false))?;
        }
    }
    // Meanwhile the one that says nothing has been given up by the server, not by the proxy.
    let told = silent.rest()?;
    assert!(told.iter().all(|message| message.tag == b'd'), "{told:?}");
    Ok(())
}

/// A client that does not read holds back only the server that sends to it.
#[test]
fn back_pressure_bounds_memory_and_blocks_one_direction_only() -> Result<()> {
    let (postgres, proxy) = start()?;
    let from = postgres.sql("SELECT pg_current_wal_flush_lsn()")?.concat().concat();
    postgres.sql(
        "CREATE TABLE t AS SELECT repeat(md5(n::text), 30) FROM generate_series(1, 60000) n",
    )?;
    let to = lsn_number(&postgres.sql("SELECT pg_current_wal_flush_lsn()")?.concat().concat())?;
    let begin = lsn_number(&from)?;
    assert!(to - begin > 40 << 20, "only {} bytes of WAL", to - begin);
    let before = memory(proxy.pid())?;

    let mut standby = Client::login_as(proxy.addr(), &physical())?;
    standby.send(&query(&format!("START_REPLICATION PHYSICAL {from}")))?;
    // It reads nothing, and says all the same how far it is.
    let sent = "SELECT pg_wal_lsn_diff(sent_lsn, '0/0')::bigint FROM pg_stat_replication";
    let mut stuck = String::new();
    poll::until(SOON, "the sender to be stuck", || {
        std::thread::sleep(Duration::from_millis(100));
        let now = postgres.sql(sent)?.concat().pop().unwrap_or_default();
        Ok((!now.is_empty() && std::mem::replace(&mut stuck, now.clone()) == now).then_some(()))
    })?;
    assert!(stuck.parse::<u64>()? < to, "all of it is in somebody's memory");
    standby.send(&status_update(begin + 4242, false))?;
    let wanted = format!(
        "SELECT 1 FROM pg_stat_replication WHERE pg_wal_lsn_diff(flush_lsn, '0/0') = {}",
        begin + 4242
    );
    poll::until(SOON, "the status update to arrive", || {
        Ok((!postgres.sql(&wanted)?.is_empty()).then_some(()))
    })?;
    let grown = memory(proxy.pid())?.saturating_sub(before);
    assert!(grown < 4 << 10, "{grown} KiB more");

    let mut at = begin;
    while at < to {
        let message = standby.expect_message()?;
        if message.tag == b'd' && message.body.first() == Some(&b'w') {
            let start = message.body.get(1..9).context("no position")?;
            assert_eq!(u64::from_be_bytes(start.try_into()?), at, "a gap in the stream");
            at += message.body.len() as u64 - 25;
        }
    }
    Ok(())
}

#[test]
fn a_drain_lets_streams_go_last() -> Result<()> {
    let (postgres, mut proxy) = start()?;
    let mut idle = Client::login_as(proxy.addr(), &logical())?;
    let mut standby = Client::login_as(proxy.addr(), &physical())?;
    let lsn = lsn_number(&start_streaming(&postgres, &mut standby)?)?;
    let mut busy = Client::login(proxy.addr())?;
    busy.rows("BEGIN")?;
    let mut asking = Client::login_as(proxy.addr(), &logical())?;
    start_sleeping(&postgres, &mut asking, "in a drain")?;

    proxy.term()?;
    let told = idle.rest()?;
    assert_eq!(last_state(&told).as_deref(), Some("57P01"), "{told:?}");
    // What runs goes on, and so does the stream.
    standby.send(&status_update(lsn, true))?;
    assert_eq!(standby.expect_message()?.tag, b'd');
    asking.cancel(proxy.addr()).err().context("a draining proxy took a new client")?;
    let backend = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%in a drain%' \
                   AND backend_type = 'walsender'";
    postgres.sql(backend)?;
    let told = asking.rest()?;
    assert_eq!(last_state(&told).as_deref(), Some("57P01"), "{told:?}");
    standby.send(&status_update(lsn, true))?;
    assert_eq!(standby.expect_message()?.tag, b'd');

    busy.rows("COMMIT")?;
    let told = standby.rest()?;
    assert_eq!(last_state(&told).as_deref(), Some("57P01"), "{told:?}");
    assert!(proxy.wait(SOON)?.success(), "{}", proxy.log());
    Ok(())
}

#[test]
fn a_drain_ends_at_its_deadline() -> Result<()> {
    let postgres = Postgres::start()?;
    let config = config(&postgres).proxy_setting("shutdown_timeout", "\"500ms\"");
    let mut proxy = Proxy::start(&config.to_toml())?;
    let mut client = Client::login_as(proxy.addr(), &logical())?;
    client.rows("BEGIN")?;
    proxy.term()?;
    proxy.wait(SOON)?;
    assert!(client.rest()?.is_empty());
    Ok(())
}

#[test]
fn a_source_that_is_not_served_any_more_ends_it() -> Result<()> {
    let (postgres, mut proxy) = start()?;
    let other = Postgres::start()?;
    let mut standby = Client::login_as(proxy.addr(), &physical())?;
    start_streaming(&postgres, &mut standby)?;
    // A change that does not concern it.
    proxy.reload(&config(&postgres).user("late", "comer").to_toml())?;
    poll::until(SOON, "the reload", || {
        let servers = proxy.log().matches("the settings have been read again").count();
        Ok((servers == 1).then_some(()))
    })?;
    assert!(standby.drain(Duration::from_millis(200))?.iter().all(|it| it.tag == b'd'));
    proxy.reload(&ProxyConfig::transaction(&other).to_toml())?;
    let told = standby.rest()?;
    assert_eq!(last_state(&told).as_deref(), Some("57P01"), "{told:?}");
    Ok(())
}

#[test]
fn the_limit_of_clients_counts_it() -> Result<()> {
    let postgres = Postgres::start()?;
    let config = config(&postgres).proxy_setting("max_clients", "1");
    let proxy = Proxy::start(&config.to_toml())?;
    let first = Client::login_as(proxy.addr(), &logical())?;
    let messages = Client::connect(proxy.addr())?.try_login(&physical())?;
    assert_eq!(last_state(&messages).as_deref(), Some("53300"), "{messages:?}");
    first.terminate()?;
    poll::until(SOON, "the place to be free", || {
        Ok(Client::login_as(proxy.addr(), &physical()).ok().map(drop))
    })
}

/// Garbage goes to the server as it came: what it does is for the server to say.
#[test]
fn garbage_ends_only_its_own_connection() -> Result<()> {
    let (_postgres, proxy) = start()?;
    let mut bystander = Client::login(proxy.addr())?;
    for garbage in
        [vec![0; 64], vec![0xff; 64], copy_data(b"x"), b"GET / HTTP/1.1\r\n\r\n".to_vec()]
    {
        let mut client = Client::login_as(proxy.addr(), &physical())?;
        client.send(&garbage)?;
        client.finish_sending()?;
        client.rest()?;
    }
    assert_eq!(bystander.value("SELECT current_user")?, APP_USER);
    Ok(())
}
