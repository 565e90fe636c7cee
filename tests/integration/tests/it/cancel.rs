//! A cancel reaches the right query or nobody.

use std::time::{Duration, Instant};

use anyhow::Result;
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::frontend::{
    bind, cancel_request, copy_data, copy_done, execute, flush, parse, query, sync,
};
use pgherd_harness::raw::{Client, Login, Message};

const SOON: Duration = Duration::from_secs(8);

fn start(pool_size: usize) -> Result<(Postgres, Proxy)> {
    let postgres = Postgres::start()?;
    let proxy = Proxy::start(&ProxyConfig::transaction(&postgres).pool_size(pool_size).to_toml())?;
    Ok((postgres, proxy))
}

/// Starts a query that takes long, and waits until Postgres runs it.
pub fn start_sleeping(postgres: &Postgres, client: &mut Client, label: &str) -> Result<()> {
    client.send(&query(&format!("SELECT pg_sleep(60) /* {label} */")))?;
    poll::until(SOON, "the query to run", || {
        let found = postgres.sql(&format!(
            "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() \
             AND query LIKE '%/* {label} */'"
        ))?;
        Ok((!found.is_empty()).then_some(()))
    })
}

/// The query ends as one that Postgres cancelled.
#[track_caller]
pub fn check_cancelled(client: &mut Client) {
    let messages = client.until_ready(1).expect("the query ends");
    let state = messages.iter().find_map(Message::sqlstate);
    assert_eq!(state.as_deref(), Some("57014"), "{messages:?}");
    assert_eq!(client.value("SELECT 1").expect("the client goes on"), "1");
}

#[test]
fn it_reaches_the_right_query() -> Result<()> {
    let (postgres, proxy) = start(3)?;
    let mut clients: Vec<Client> =
        (0..3).map(|_| Client::login(proxy.addr())).collect::<Result<_>>()?;
    for (number, client) in clients.iter_mut().enumerate() {
        start_sleeping(&postgres, client, &format!("client {number}"))?;
    }
    for client in &mut clients {
        let begun = Instant::now();
        client.cancel(proxy.addr())?;
        check_cancelled(client);
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
    Ok(())
}

#[test]
fn it_works_in_session_mode_and_with_longer_keys() -> Result<()> {
    let postgres = Postgres::start()?;
    let proxy = Proxy::start(&ProxyConfig::session(&postgres).to_toml())?;
    for login in [Login::default(), Login::default().protocol(3 << 16 | 2)] {
        let mut client = Client::login_as(proxy.addr(), &login)?;
        start_sleeping(&postgres, &mut client, "session")?;
        client.cancel(proxy.addr())?;
        check_cancelled(&mut client);
    }
    Ok(())
}

#[test]
fn it_cancels_within_a_transaction_which_then_has_failed() -> Result<()> {
    let (postgres, proxy) = start(1)?;
    let mut client = Client::login(proxy.addr())?;
    client.rows("BEGIN")?;
    start_sleeping(&postgres, &mut client, "transaction")?;
    client.cancel(proxy.addr())?;
    let messages = client.until_ready(1)?;
    assert_eq!(messages.iter().find_map(Message::sqlstate).as_deref(), Some("57014"));
    assert_eq!(messages.last().map(|message| message.body.as_slice()), Some(b"E".as_slice()));
    client.rows("ROLLBACK")?;
    Ok(())
}

#[test]
fn for_an_idle_client_it_does_nothing() -> Result<()> {
    let (postgres, proxy) = start(1)?;
    let mut idle = Client::login(proxy.addr())?;
    assert_eq!(idle.value("SELECT 1")?, "1");
    // The other one now has the server connection that the idle one used.
    let mut busy = Client::login(proxy.addr())?;
    start_sleeping(&postgres, &mut busy, "busy")?;
    for _ in 0..5 {
        idle.cancel(proxy.addr())?;
    }
    assert!(busy.drain(Duration::from_millis(500))?.is_empty(), "another client's query ended");
    busy.cancel(proxy.addr())?;
    check_cancelled(&mut busy);
    assert_eq!(idle.value("SELECT 2")?, "2");
    Ok(())
}

#[test]
fn for_a_client_that_waits_it_does_nothing_to_others() -> Result<()> {
    let (postgres, proxy) = start(1)?;
    let mut busy = Client::login(proxy.addr())?;
    start_sleeping(&postgres, &mut busy, "holder")?;
    let mut waiting = Client::login(proxy.addr())?;
    waiting.send(&query("SELECT 'after all'"))?;
    waiting.cancel(proxy.addr())?;
    assert!(busy.drain(Duration::from_millis(300))?.is_empty(), "another client's query ended");
    busy.cancel(proxy.addr())?;
    check_cancelled(&mut busy);
    // Answered, or cancelled while it waited; never silent.
    assert!(!waiting.until_ready(1)?.is_empty());
    Ok(())
}

#[test]
fn a_wrong_key_cancels_nothing() -> Result<()> {
    let (postgres, proxy) = start(2)?;
    for (version, length) in [(3 << 16, 4), (3 << 16 | 2, 32)] {
        let mut client = Client::login_as(proxy.addr(), &Login::default().protocol(version))?;
        start_sleeping(&postgres, &mut client, "guarded")?;
        let right = client.cancel_request()?;
        let key = right.get(8..).unwrap_or_default();
        assert_eq!(key.len(), 4 + length);
        let mut guesses: Vec<Vec<u8>> = (0..key.len())
            .map(|position| {
                let mut wrong = key.to_vec();
                wrong[position] ^= 0x10;
                wrong
            })
            .collect();
        // As much of the right one as there is room for, and more than that.
        guesses
            .extend([4, 5, 7, 8, 12, 31, 35].map(|length| key[..key.len().min(length)].to_vec()));
        guesses.extend([1, 4, 28, 220].map(|more| [key, &vec![0; more]].concat()));
        guesses.retain(|guess| guess != key);
        for guess in guesses {
            let mut attacker = Client::connect(proxy.addr())?;
            attacker.send(&cancel_request(&guess))?;
            assert!(attacker.rest()?.is_empty());
        }
        let early = client.drain(Duration::from_millis(300))?;
        assert!(early.is_empty(), "a guess cancelled the query");
        client.cancel(proxy.addr())?;
        check_cancelled(&mut client);
    }
    Ok(())
}

#[test]
fn a_stale_key_cancels_nothing() -> Result<()> {
    let (postgres, proxy) = start(1)?;
    let gone = Client::login(proxy.addr())?;
    let key = gone.cancel_request()?;
    gone.terminate()?;
    let mut client = Client::login(proxy.addr())?;
    start_sleeping(&postgres, &mut client, "successor")?;
    let mut late = Client::connect(proxy.addr())?;
    late.send(&key)?;
    assert!(late.rest()?.is_empty());
    assert!(client.drain(Duration::from_millis(300))?.is_empty(), "a stale key cancelled a query");
    client.cancel(proxy.addr())?;
    check_cancelled(&mut client);
    Ok(())
}

/// While it waits for copy data Postgres takes no cancel: the next line meets it.
#[test]
fn it_ends_a_copy_in_with_the_next_line() -> Result<()> {
    let (postgres, proxy) = start(1)?;
    postgres.sql("CREATE TABLE t (n int); GRANT ALL ON t TO app")?;
    let mut client = Client::login(proxy.addr())?;
    for extended in [false, true] {
        let begin = if extended {
            let sql = "COPY t FROM STDIN";
            [parse("", sql, &[]), bind("", "", &[]), execute("", 0), flush()].concat()
        } else {
            query("COPY t FROM STDIN")
        };
        client.send(&begin)?;
        client.until_tag(b'G')?;
        client.send(&copy_data(b"1\n"))?;
        client.cancel(proxy.addr())?;
        let line = copy_data(b"2\n");
        let told = poll::until(SOON, "the copy to end", || {
            client.send(&line)?;
            let told = client.drain(Duration::from_millis(20))?;
            Ok((!told.is_empty()).then_some(told))
        })?;
        assert_eq!(told[0].sqlstate().as_deref(), Some("57014"), "{told:?}");
        // What the client still has to say of the copy is nobody's.
        client.send(&[line, copy_done(), sync()].concat())?;
        let readies = told.iter().filter(|message| message.tag == b'Z').count();
        // A Sync outside of a batch is answered, too.
        client.until_ready(if extended { 1 } else { 2 } - readies)?;
        // One more would be the answer to this.
        assert_eq!(client.value("SELECT count(*) FROM t")?, "0");
    }
    Ok(())
}

#[test]
fn it_ends_a_copy_out_that_is_half_read() -> Result<()> {
    let (_postgres, proxy) = start(1)?;
    let mut client = Client::login(proxy.addr())?;
    let sql = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000000)) TO STDOUT";
    for extended in [false, true] {
        client.send(&if extended {
            [parse("", sql, &[]), bind("", "", &[]), execute("", 0), sync()].concat()
        } else {
            query(sql)
        })?;
        client.until_tag(b'd')?;
        client.cancel(proxy.addr())?;
        let mut lines = 0;
        let told = loop {
            let message = client.expect_message()?;
            match message.tag {
                b'd' => lines += 1,
                _ => break message,
            }
        };
        assert_eq!(told.sqlstate().as_deref(), Some("57014"), "{told:?}");
        assert!(lines < 1_000_000, "all of it came");
        client.until_ready(1)?;
        assert_eq!(client.value("SELECT 1")?, "1");
    }
    Ok(())
}
