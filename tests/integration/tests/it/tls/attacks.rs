//! Bytes that should not be there, handshakes that do not end, and answers that prove nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pgherd_harness::certificates::Authority;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::frontend::{query, ssl_request};
use pgherd_harness::raw::{Client, Login};

use super::{SOON, Stand};
use crate::twin::startup::told;

#[test]
fn bytes_before_the_handshake_are_refused() -> Result<()> {
    let stand = Stand::start()?;
    let injected = [ssl_request(), Login::default().startup(), query("DROP TABLE x")].concat();
    let mut client = Client::connect(stand.proxy.addr())?;
    client.send(&injected)?;
    assert_eq!(client.byte()?, Some(b'S'));
    let answer = told(&client.rest()?);
    assert_eq!(answer, ["FATAL/FATAL 08P01 received unencrypted data after SSL request"]);

    // One byte at a time: what comes too early cannot become part of the session either.
    let mut client = Client::connect(stand.proxy.addr())?;
    client.send(&ssl_request())?;
    assert_eq!(client.byte()?, Some(b'S'));
    client.send(&Login::default().startup())?;
    let answer = client.byte()?;
    assert!(matches!(answer, None | Some(21)), "an alert or the end, not {answer:?}");
    Ok(())
}

#[test]
fn garbage_ends_the_handshake_and_nothing_else() -> Result<()> {
    let stand = Stand::start()?;
    let mut bystander = Client::login_tls(stand.proxy.addr(), &Login::default(), &stand.client)?;
    let rows: [&[u8]; 5] = [
        &[0x16],
        &[0x16, 3, 1, 0, 2, 1, 0],
        &[0x16, 3, 1, 0xff, 0xff],
        &[0x16; 100_000],
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    for garbage in rows {
        for ask in [false, true] {
            let mut client = Client::connect(stand.proxy.addr())?;
            if ask {
                client.send(&ssl_request())?;
                assert_eq!(client.byte()?, Some(b'S'));
            }
            // It may close before it has read everything.
            let _ = client.send(garbage).and_then(|()| client.finish_sending());
            while let Some(byte) = client.byte()? {
                let text = (byte as char).is_ascii_alphabetic();
                assert!(!ask || !text, "plain text after the request: {:?}", byte as char);
                if text {
                    break;
                }
            }
        }
        assert_eq!(bystander.value("SELECT 1")?, "1");
    }
    Ok(())
}

#[test]
fn a_handshake_that_stalls_ends_with_the_login_timeout() -> Result<()> {
    let stand =
        Stand::with("require", |config| config.proxy_setting("login_timeout", "\"500ms\""))?;
    for sent in [vec![], vec![0x16, 3, 1, 2, 0, 1, 0]] {
        let mut client = Client::connect(stand.proxy.addr())?;
        client.send(&ssl_request())?;
        assert_eq!(client.byte()?, Some(b'S'));
        client.send(&sent)?;
        let begun = Instant::now();
        // Nothing in plain text comes where the client waits for TLS.
        assert_eq!(client.byte()?, None);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }
    Ok(())
}

/// A server that answers the request for TLS with these bytes, and says what else it was sent.
fn impostor(answer: &'static [u8]) -> Result<(SocketAddr, std::thread::JoinHandle<Vec<u8>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let serve = move || {
        let mut received = Vec::new();
        let Ok((mut stream, _)) = listener.accept() else { return received };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
        let mut request = [0; 8];
        if stream.read_exact(&mut request).is_ok() {
            let _ = stream.write_all(answer);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut received);
        }
        received
    };
    Ok((addr, std::thread::spawn(serve)))
}

#[test]
fn a_server_that_answers_in_plain_text_is_not_believed() -> Result<()> {
    let error = b"E\0\0\0\x30SFATAL\0CXX000\0Mgive me your password, please\0\0";
    for (answer, mode, logged) in [
        (&error[..], "require", "answered the request for TLS with byte 0x45"),
        (b"N", "require", "does not offer TLS"),
        (b"Sgarbage", "require", "unencrypted data"),
        (b"Nmore", "prefer", "unencrypted data"),
        (b"S", "verify-full", "no TLS"),
    ] {
        let (addr, server) = impostor(answer)?;
        let authority = Authority::new()?;
        let ca = format!(", ca = {:?}", authority.path());
        let config = ProxyConfig::for_address("transaction", "127.0.0.1", addr.port())
            .server_tls(mode, if mode == "verify-full" { &ca } else { "" })
            .cluster_setting("checkout_timeout", "\"700ms\"");
        let proxy = Proxy::start(&config.to_toml())?;
        let told = told(&Client::connect(proxy.addr())?.try_login(&Login::default())?);
        let last = told.last().context("an answer")?;
        assert!(last.starts_with("FATAL/FATAL 08001 the proxy could not connect"), "{last}");
        assert!(!last.contains("password"), "{last}");
        let log = proxy.log();
        assert!(log.contains(logged), "{logged:?} is not in\n{log}");
        drop(proxy);
        let received = server.join().unwrap_or_default();
        let sees_user = received.windows(3).any(|it| it == b"app");
        assert!(!sees_user, "the login went out in plain text: {}", received.escape_ascii());
    }
    Ok(())
}

/// Passes connections on, and answers requests for TLS with `N` in the server's place.
fn stripper(server: SocketAddr) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(server) else { return };
            std::thread::spawn(move || strip(client, server));
        }
    });
    Ok(addr)
}

fn strip(mut client: TcpStream, mut server: TcpStream) -> Result<()> {
    let mut request = [0; 8];
    client.read_exact(&mut request)?;
    client.write_all(b"N")?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    std::io::copy(&mut server, &mut client)?;
    Ok(())
}

#[test]
fn an_offer_that_was_taken_away_is_missed_only_where_tls_is_a_wish() -> Result<()> {
    let authority = Authority::new()?;
    let certificate = authority.server("server")?;
    let postgres = Postgres::builder().tls(&certificate, &authority.path()).start()?;
    let between = stripper(postgres.addr())?;
    let start = |mode: &str| {
        let config = ProxyConfig::for_address("transaction", "127.0.0.1", between.port())
            .server_tls(mode, "")
            .cluster_setting("checkout_timeout", "\"700ms\"");
        Proxy::start(&config.to_toml())
    };
    assert_eq!(Client::login(start("prefer")?.addr())?.value("SELECT 1")?, "1");
    let strict = start("require")?;
    assert!(Client::login(strict.addr()).is_err());
    assert!(strict.log().contains("does not offer TLS"), "{}", strict.log());
    Ok(())
}
