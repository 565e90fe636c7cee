//! Clients that send garbage, too little or nothing.

use std::time::{Duration, Instant};

use anyhow::Result;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::frontend::{message, query, ssl_request};
use pgherd_harness::raw::{Client, Login};

fn start(settings: &[(&str, &str)]) -> Result<(Postgres, Proxy)> {
    let postgres = Postgres::start()?;
    let config = settings
        .iter()
        .fold(ProxyConfig::transaction(&postgres).pool_size(2), |config, (key, value)| {
            config.proxy_setting(key, value)
        });
    let proxy = Proxy::start(&config.to_toml())?;
    Ok((postgres, proxy))
}

/// Bytes without order; the seed is printed by the assertion that fails.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}

#[test]
fn garbage_hurts_only_its_sender() -> Result<()> {
    let (_postgres, mut proxy) = start(&[])?;
    let mut bystander = Client::login(proxy.addr())?;
    bystander.rows("BEGIN")?;
    for seed in 0..200 {
        let bytes = noise(seed, 1 + (seed as usize * 7) % 300);
        // Before the login.
        let mut client = Client::connect(proxy.addr())?;
        client.send(&bytes)?;
        drop(client);
        // After it.
        let mut client = Client::login(proxy.addr())?;
        client.send(&bytes)?;
        drop(client);
        assert_eq!(bystander.value("SELECT 1")?, "1", "seed {seed}");
    }
    assert!(proxy.process().try_wait()?.is_none(), "the proxy ended");
    bystander.rows("COMMIT")?;
    assert_eq!(Client::login(proxy.addr())?.value("SELECT 2")?, "2");
    Ok(())
}

#[test]
fn a_login_that_takes_too_long_is_ended() -> Result<()> {
    let (_postgres, proxy) = start(&[("login_timeout", "\"1s\"")])?;
    let startup = Login::default().startup();
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("half a startup packet", startup[..startup.len() / 2].to_vec()),
        ("only SSLRequest", ssl_request()),
        ("no answer to the challenge", startup),
    ];
    for (name, bytes) in rows {
        let begun = Instant::now();
        let mut client = Client::connect(proxy.addr())?;
        client.send(&bytes)?;
        if name.contains("SSL") {
            client.byte()?;
        }
        client.rest()?;
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(10), "{name}: {took:?}");
        assert!(took > Duration::from_millis(900), "{name}: {took:?}");
    }
    let mut client = Client::login(proxy.addr())?;
    std::thread::sleep(Duration::from_millis(1_200));
    assert_eq!(client.value("SELECT 'the timeout is for logins'")?, "the timeout is for logins");
    Ok(())
}

#[test]
fn sasl_messages_are_bounded() -> Result<()> {
    let (_postgres, proxy) = start(&[])?;
    let mut client = Client::connect(proxy.addr())?;
    client.send(&Login::default().startup())?;
    // A length of half a gigabyte: nothing of it may be waited for or reserved.
    client.send(&[b'p', 0x20, 0, 0, 0])?;
    let told = client.rest()?;
    assert!(told.iter().all(|message| matches!(message.tag, b'R' | b'E')), "{told:?}");
    Ok(())
}

#[test]
fn a_client_that_reads_nothing_does_not_fill_the_proxy() -> Result<()> {
    let (_postgres, proxy) = start(&[])?;
    let mut client = Client::login(proxy.addr())?;
    client.send(&query("SELECT repeat('x', 100000) FROM generate_series(1, 5000)"))?;
    client.expect_message()?;
    // Half a gigabyte is on its way; give the proxy the time to make the mistake.
    std::thread::sleep(Duration::from_millis(500));
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid()))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kilobytes: u64 = resident.trim().trim_end_matches(" kB").parse()?;
    assert!(kilobytes < 100_000, "{kilobytes} kB resident");
    let mut other = Client::login(proxy.addr())?;
    assert_eq!(other.value("SELECT 1")?, "1");
    Ok(())
}

#[test]
fn a_pile_of_half_open_connections_is_no_obstacle() -> Result<()> {
    let (_postgres, proxy) = start(&[])?;
    let idle: Vec<Client> =
        (0..300).map(|_| Client::connect(proxy.addr())).collect::<Result<_>>()?;
    assert_eq!(Client::login(proxy.addr())?.value("SELECT 1")?, "1");
    drop(idle);
    Ok(())
}

#[test]
fn more_clients_than_allowed_are_told_so() -> Result<()> {
    let (_postgres, proxy) = start(&[("max_clients", "3")])?;
    let mut clients: Vec<Client> =
        (0..3).map(|_| Client::login(proxy.addr())).collect::<Result<_>>()?;
    let mut refused = Client::connect(proxy.addr())?;
    let messages = refused.try_login(&Login::default())?;
    let error = messages.last().and_then(|message| message.sqlstate());
    assert_eq!(error.as_deref(), Some("53300"), "{messages:?}");
    clients.pop();
    pgherd_harness::poll::until(Duration::from_secs(5), "a place to be free", || {
        Ok(Client::login(proxy.addr()).ok().map(drop))
    })
}

#[test]
fn an_unknown_message_ends_one_client_and_spares_its_server_connection() -> Result<()> {
    let (_postgres, proxy) = start(&[])?;
    let mut client = Client::login(proxy.addr())?;
    let backend = client.value("SELECT pg_backend_pid()")?;
    client.send(&message(b'z', b"what"))?;
    let told = client.rest()?;
    assert_eq!(told.last().and_then(|message| message.sqlstate()).as_deref(), Some("08P01"));
    assert_eq!(Client::login(proxy.addr())?.value("SELECT pg_backend_pid()")?, backend);
    Ok(())
}

#[test]
fn impossible_lengths_end_the_connection() -> Result<()> {
    let (_postgres, proxy) = start(&[])?;
    for length in [[0, 0, 0, 0], [0, 0, 0, 3], [0xff, 0xff, 0xff, 0xff], [0x7f, 0xff, 0xff, 0xff]] {
        let mut client = Client::login(proxy.addr())?;
        client.rows("SELECT 1")?;
        client.send(&[b'Q', length[0], length[1], length[2], length[3]])?;
        // Postgres says nothing to the client; the hint does no harm.
        let told = client.rest()?;
        let states: Vec<_> = told.iter().filter_map(|message| message.sqlstate()).collect();
        assert!(states.iter().all(|state| state == "08P01"), "{length:?}: {told:?}");
    }
    Ok(())
}
