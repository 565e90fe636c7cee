//! The relay over TLS: large results, back-pressure, COPY, and connections that change workers.

use std::time::Duration;

use anyhow::{Context, Result};
use pgherd_harness::poll;
use pgherd_harness::raw::frontend::{copy_data, copy_done, query};
use pgherd_harness::raw::{Client, Login};

use super::{SOON, Stand};

fn login(stand: &Stand) -> Result<Client> {
    Client::login_tls(stand.proxy.addr(), &Login::default(), &stand.client)
}

#[test]
fn large_values_pass_in_both_directions() -> Result<()> {
    let stand = Stand::start()?;
    let mut client = login(&stand)?;
    for length in [1, 16_000, 16_384, 20_000_000] {
        let sql = format!("SELECT md5('{}')", "x".repeat(length));
        let expected = stand.postgres.sql(&format!("SELECT md5(repeat('x', {length}))"))?;
        assert_eq!(client.rows(&sql)?, expected, "{length}");
        let value = client.value(&format!("SELECT repeat('yz', {length})"))?;
        assert!(value == "yz".repeat(length), "{length}");
    }
    Ok(())
}

#[test]
fn a_client_that_does_not_read_stops_the_server() -> Result<()> {
    let stand = Stand::start()?;
    let mut slow = login(&stand)?;
    slow.set_deadline(Duration::from_secs(60));
    let rows = 300_000;
    slow.send(&query(&format!("SELECT repeat('x', 500) FROM generate_series(1, {rows})")))?;
    // Postgres waits for the client, and the proxy has not taken it all.
    poll::until(SOON, "the server to wait", || {
        let waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'ClientWrite'";
        Ok((!stand.postgres.sql(waiting)?.is_empty()).then_some(()))
    })?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", stand.proxy.pid()))?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let rss: u64 = rss.context("VmRSS")?.trim().trim_end_matches(" kB").parse()?;
    assert!(rss < 80_000, "the proxy holds {rss} kB");
    // Others go on meanwhile.
    assert_eq!(login(&stand)?.value("SELECT 1")?, "1");
    let messages = slow.until_ready(1)?;
    assert_eq!(messages.iter().filter(|message| message.tag == b'D').count(), rows);
    assert_eq!(slow.value("SELECT 2")?, "2");
    Ok(())
}

#[test]
fn both_directions_at_once_do_not_lock() -> Result<()> {
    let stand = Stand::start()?;
    let mut client = login(&stand)?;
    client.set_deadline(Duration::from_secs(30));
    client.rows("CREATE TABLE filled (line text)")?;
    client.send(&query("COPY filled FROM STDIN"))?;
    client.until_tag(b'G')?;
    let line = [vec![b'x'; 999], b"\n".to_vec()].concat();
    let chunk = copy_data(&line.repeat(200));
    for _ in 0..100 {
        client.send(&chunk)?;
    }
    client.send(&copy_done())?;
    let done = client.until_ready(1)?;
    assert!(done.iter().any(|message| message.body.starts_with(b"COPY 20000")), "{done:?}");
    client.send(&query("COPY filled TO STDOUT"))?;
    let out = client.until_ready(1)?;
    assert_eq!(out.iter().filter(|message| message.tag == b'd').count(), 20_000);
    // A pipeline that is longer than all buffers on the way, with answers as long.
    let sql = format!("SELECT '{}'", "y".repeat(3_000));
    let count = 2_000;
    let batch: Vec<u8> = (0..count).flat_map(|_| query(&sql)).collect();
    let half = batch.len() / 2;
    // What is read by nobody stops the sender, here as on Postgres: so in parts.
    client.send(&batch[..half])?;
    let first = client.until_ready(count / 2)?;
    client.send(&batch[half..])?;
    let second = client.until_ready(count / 2)?;
    let rows = first.iter().chain(&second).filter(|message| message.tag == b'D').count();
    assert_eq!(rows, count);
    Ok(())
}

#[test]
fn server_connections_change_workers_with_their_tls() -> Result<()> {
    let stand = Stand::with("require", |config| config.pool_size(1).proxy_setting("workers", "3"))?;
    let mut clients: Vec<Client> = (0..6).map(|_| login(&stand)).collect::<Result<_>>()?;
    let mut backends = std::collections::BTreeSet::new();
    for round in 0..40 {
        for client in &mut clients {
            let rows =
                client.rows(&format!("SELECT pg_backend_pid(), '{}'", "v".repeat(round * 500)))?;
            let row = rows.first().context("a row")?;
            backends.insert(row[0].clone());
            assert_eq!(row[1].len(), round * 500);
        }
    }
    assert_eq!(backends.len(), 1, "one connection served all six clients: {backends:?}");
    Ok(())
}

#[test]
fn a_message_may_come_in_any_number_of_records() -> Result<()> {
    let stand = Stand::start()?;
    let mut client = login(&stand)?;
    let bytes = [query("SELECT 'one'"), query("SELECT 'two'")].concat();
    for byte in &bytes {
        client.send(std::slice::from_ref(byte))?;
    }
    let messages = client.until_ready(2)?;
    assert_eq!(messages.iter().filter(|message| message.tag == b'D').count(), 2);
    Ok(())
}

#[test]
fn a_client_that_vanishes_leaves_a_whole_server_connection() -> Result<()> {
    let stand = Stand::with("require", |config| config.pool_size(1))?;
    let backend = login(&stand)?.value("SELECT pg_backend_pid()")?;
    for goodbye in [true, false] {
        let mut client = login(&stand)?;
        client.rows("BEGIN")?;
        client.send(&query("SELECT pg_sleep(30)"))?;
        match goodbye {
            true => client.finish_sending()?,
            false => client.reset()?,
        }
        let found = poll::until(SOON, "the connection to come back", || {
            Ok(login(&stand)?.value("SELECT pg_backend_pid()").ok())
        })?;
        assert_eq!(found, backend);
    }
    Ok(())
}

/// CPU time of a process so far.
fn cpu(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().context("stat")?.split_whitespace().collect();
    let ticks = |index: usize| -> Result<u64> { Ok(fields.get(index).context("stat")?.parse()?) };
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}

#[test]
fn half_a_record_is_waited_for_without_spinning() -> Result<()> {
    let stand = Stand::start()?;
    let mut client = login(&stand)?;
    for before in ["SELECT 'idle'", "BEGIN"] {
        for cut in [1, 5, 20] {
            client.rows(before)?;
            let records = client.encrypt(&query("SELECT 'whole'"))?;
            let (first, rest) = records.split_at(cut);
            client.send_below(first)?;
            let begun = cpu(stand.proxy.pid())?;
            assert!(client.drain(Duration::from_millis(200))?.is_empty());
            let spent = cpu(stand.proxy.pid())?.saturating_sub(begun);
            assert!(spent < Duration::from_millis(100), "{spent:?} for waiting, after {before}");
            client.send_below(rest)?;
            let answer = client.until_ready(1)?;
            assert!(answer.iter().any(|message| message.tag == b'D'), "{answer:?}");
        }
    }
    Ok(())
}
