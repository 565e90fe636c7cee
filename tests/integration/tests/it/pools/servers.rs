//! New and idle server connections: what is done on them, and what is not held against an instance.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::frontend::query;
use pgherd_harness::raw::{Client, Login, Message};

use super::stand::{SOON, Stand, pool};

/// The error with which a login or the first query ends.
fn refusal(addr: SocketAddr, login: &Login) -> Result<Message> {
    let mut client = Client::connect(addr)?;
    let mut messages = client.try_login(login)?;
    if messages.last().is_some_and(|message| message.tag == b'Z') {
        messages = client.simple("SELECT 1")?;
    }
    let error = messages.iter().find(|message| message.tag == b'E').cloned();
    error.with_context(|| format!("no error: {messages:?}"))
}

// === connect_query ===

#[test]
fn connect_query_is_run_on_each_connection_and_after_each_reset() -> Result<()> {
    let connect_query =
        "\"SET work_mem = '7MB'; SET TimeZone = 'Asia/Tokyo'; INSERT INTO t VALUES (1)\"";
    let stand =
        Stand::start(|config| config.pool_size(2).cluster_setting("connect_query", connect_query))?;
    let mut client = stand.client()?;
    assert_eq!(client.parameter("TimeZone").as_deref(), Some("Asia/Tokyo"));
    let mut second = stand.client()?;
    client.rows("BEGIN")?;
    for client in [&mut client, &mut second] {
        assert_eq!(client.value("SHOW work_mem")?, "7MB");
        assert_eq!(client.value("SHOW TimeZone")?, "Asia/Tokyo");
    }
    client.rows("COMMIT")?;
    assert_eq!(stand.postgres.sql("SELECT count(*) FROM t")?, [["2"]]);
    // A temporary table is what only a reset removes.
    client.rows("CREATE TEMP TABLE x (n int); SET work_mem = '9MB'")?;
    drop(client);
    drop(second);
    stand.wait_pool("app", &[("sv_idle", "2"), ("sv_active", "0")])?;
    let mut holders = [stand.client()?, stand.client()?];
    for client in &mut holders {
        client.rows("BEGIN")?;
        assert_eq!(client.value("SHOW work_mem")?, "7MB");
        assert_eq!(client.value("SELECT count(*) FROM pg_class WHERE relname = 'x'")?, "0");
    }
    assert_eq!(stand.connections()?, 2);
    Ok(())
}

#[test]
fn a_connect_query_that_fails_is_told_and_its_connection_not_used() -> Result<()> {
    for (connect_query, wanted) in [
        (
            "SELECT nonsense",
            "connect_query failed on the server: column \"nonsense\" does not exist",
        ),
        ("BEGIN", "connect_query failed on the server"),
    ] {
        let value = format!("{connect_query:?}");
        let stand = Stand::start(|config| config.cluster_setting("connect_query", &value))?;
        let error = refusal(stand.proxy.addr(), &Login::default())?;
        assert_eq!(error.field(b'M').as_deref(), Some(wanted));
        assert_eq!(error.sqlstate().as_deref(), Some("08001"));
        assert!(stand.proxy.log().contains("connect_query failed"), "{}", stand.proxy.log());
        poll::until(SOON, "no connection to be left", || {
            Ok((stand.connections()? == 0).then_some(()))
        })?;
    }
    Ok(())
}

// === refusals ===

#[test]
fn a_login_that_is_refused_for_good_is_not_tried_by_each_client() -> Result<()> {
    let postgres = Postgres::start()?;
    postgres.sql("CREATE ROLE locked LOGIN PASSWORD 'right'")?;
    let config = ProxyConfig::transaction(&postgres).user("locked", "wrong");
    let proxy = Proxy::start(&config.to_toml())?;
    let login = Login::new("locked", "wrong", "app");
    let begun = Instant::now();
    let mut clients = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        let asked = Instant::now();
        let error = refusal(proxy.addr(), &login)?;
        assert_eq!(error.sqlstate().as_deref(), Some("08001"), "{error:?}");
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        clients += 1;
    }
    let attempts = postgres.log().matches("password authentication failed").count();
    assert!(clients > 20 && attempts <= 6, "{attempts} attempts for {clients} clients");
    postgres.sql("ALTER ROLE locked PASSWORD 'wrong'")?;
    poll::until(SOON, "the login to be tried again", || {
        Ok(Client::login_as(proxy.addr(), &login).ok().map(drop))
    })
}

/// Between the proxy and Postgres: says that it is starting up for as long as it is told to.
struct Gate {
    addr: SocketAddr,
    starting: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
}

impl Gate {
    fn start(postgres: &Postgres) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let gate = Self { addr, starting: Arc::default(), refused: Arc::default() };
        gate.starting.store(true, Ordering::Relaxed);
        let (starting, refused) = (Arc::clone(&gate.starting), Arc::clone(&gate.refused));
        let upstream = postgres.addr();
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                // What fails here is seen by the proxy.
                if starting.load(Ordering::Relaxed) {
                    refused.fetch_add(1, Ordering::Relaxed);
                    let _ = refuse(client);
                } else {
                    let _ = forward(client, upstream);
                }
            }
        });
        Ok(gate)
    }
}

/// As Postgres does before it has recovered.
fn refuse(mut client: TcpStream) -> Result<()> {
    // Its length stands in front.
    let mut length = [0; 4];
    client.read_exact(&mut length)?;
    let rest = u32::from_be_bytes(length).saturating_sub(4);
    client.read_exact(&mut vec![0; usize::try_from(rest)?])?;
    let fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
    let length = u32::try_from(fields.len() + 4)?.to_be_bytes();
    Ok(client.write_all(&[b"E", &length[..], fields].concat())?)
}

fn forward(mut client: TcpStream, upstream: SocketAddr) -> Result<()> {
    let mut server = TcpStream::connect(upstream)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(std::net::Shutdown::Write);
    });
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut server, &mut client);
        let _ = client.shutdown(std::net::Shutdown::Both);
    });
    Ok(())
}

#[test]
fn clients_wait_for_a_server_that_is_starting_up() -> Result<()> {
    let postgres = Postgres::start()?;
    let gate = Gate::start(&postgres)?;
    let config = ProxyConfig::for_address("transaction", "127.0.0.1", gate.addr.port())
        .server_tls("disable", "");
    let config = config.cluster_setting("checkout_timeout", "\"8s\"");
    let proxy = Proxy::start(&config.to_toml())?;
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let addr = proxy.addr();
            std::thread::spawn(move || Client::login(addr)?.value("SELECT 'served'"))
        })
        .collect();
    poll::until(SOON, "several refusals", || {
        Ok((gate.refused.load(Ordering::Relaxed) >= 5).then_some(()))
    })?;
    assert!(waiting.iter().all(|client| !client.is_finished()), "a waiter was given up");
    gate.starting.store(false, Ordering::Relaxed);
    for client in waiting {
        assert_eq!(client.join().expect("it ends")?, "served");
    }
    Ok(())
}

#[test]
fn a_server_that_starts_up_for_too_long_is_told_in_its_own_words() -> Result<()> {
    let postgres = Postgres::start()?;
    let gate = Gate::start(&postgres)?;
    let config = ProxyConfig::for_address("transaction", "127.0.0.1", gate.addr.port())
        .server_tls("disable", "");
    let config = config.cluster_setting("checkout_timeout", "\"500ms\"");
    let proxy = Proxy::start(&config.to_toml())?;
    let begun = Instant::now();
    let error = refusal(proxy.addr(), &Login::default())?;
    assert_eq!(error.sqlstate().as_deref(), Some("57P03"));
    assert_eq!(error.field(b'M').as_deref(), Some("the database system is starting up"));
    assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
    Ok(())
}

#[test]
fn a_server_without_a_place_to_spare_serves_with_those_that_there_are() -> Result<()> {
    let stand = Stand::start(|config| config.pool_size(5).unwatched())?;
    stand.postgres.sql("ALTER ROLE app CONNECTION LIMIT 2")?;
    let mut holders = [stand.client()?, stand.client()?];
    for client in &mut holders {
        client.rows("BEGIN")?;
    }
    let mut third = stand.client()?;
    third.send(&query("SELECT 'served'"))?;
    stand.wait_pool("app", &[("cl_waiting", "1"), ("sv_active", "2")])?;
    poll::until(SOON, "the refusal", || {
        let error = stand.pool("app")?["last_error"].clone();
        Ok(error.contains("too many connections for role").then_some(()))
    })?;
    holders[0].rows("COMMIT")?;
    let answer = third.until_ready(1)?;
    assert!(answer.iter().any(|message| message.tag == b'D'), "{answer:?}");
    holders[1].rows("COMMIT")?;
    Ok(())
}

// === idle connections ===

#[test]
fn idle_connections_that_the_server_ends_are_replaced_without_a_word() -> Result<()> {
    let stand = Stand::start(|config| config.pool_size(4))?;
    let mut clients: Vec<Client> = (0..4).map(|_| stand.client()).collect::<Result<_>>()?;
    for _ in 0..5 {
        for client in &mut clients {
            client.rows("BEGIN")?;
        }
        for client in &mut clients {
            client.rows("COMMIT")?;
        }
        let ended = stand.postgres.sql(
            "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' AND application_name <> 'pgherd health check'",
        )?;
        let pids: Vec<&str> = ended.iter().map(|row| row[0].as_str()).collect();
        let left = format!("SELECT 1 FROM pg_stat_activity WHERE pid IN ({})", pids.join(", "));
        // The end of a backend that has not said so yet is the end of the next query.
        poll::until(SOON, "the backends to end", || {
            Ok(stand.postgres.sql(&left)?.is_empty().then_some(()))
        })?;
        for client in &mut clients {
            assert_eq!(client.value("SELECT 'unharmed'")?, "unharmed");
        }
        assert_eq!(stand.pool("app")?["last_error"], "NULL");
    }
    Ok(())
}

#[test]
fn a_client_that_ends_its_own_backend_harms_nobody_else() -> Result<()> {
    let stand = Stand::start(|config| config.pool_size(2))?;
    let mut other = stand.client()?;
    for _ in 0..5 {
        let mut client = stand.client()?;
        client.send(&query("SELECT pg_terminate_backend(pg_backend_pid())"))?;
        let told = client.rest()?;
        let error = told.iter().find(|message| message.tag == b'E').context("nothing was said")?;
        assert_eq!(error.sqlstate().as_deref(), Some("57P01"), "{told:?}");
        assert_eq!(other.value("SELECT 'unharmed'")?, "unharmed");
    }
    let row = pool(&mut stand.proxy.admin()?, "app")?;
    assert_eq!((row["last_error"].as_str(), row["sv_active"].as_str()), ("NULL", "0"), "{row:?}");
    Ok(())
}
