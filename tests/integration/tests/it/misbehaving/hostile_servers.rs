//! Servers that say during a login, or to a replication client, what no Postgres would.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::Result;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::frontend::{message, query};
use pgherd_harness::raw::{Client, Login, Message};

const SOON: Duration = Duration::from_secs(8);

/// A server that takes each connection's startup packet for a reason to say this.
fn serve(answer: Vec<u8>) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    // Ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut startup = [0; 1024];
                let _ = stream.read(&mut startup);
                let _ = stream.write_all(&answer);
                // Until the other side closes.
                let _ = stream.read_to_end(&mut Vec::new());
            });
        }
    });
    Ok(port)
}

/// AuthenticationOk, a parameter, a key, ReadyForQuery: a login without a password.
fn welcome() -> Vec<u8> {
    [
        message(b'R', &[0; 4]),
        message(b'S', b"server_version\x0018.4\0"),
        message(b'K', &[1; 8]),
        message(b'Z', b"I"),
    ]
    .concat()
}

fn proxy(port: u16) -> Result<Proxy> {
    let config = ProxyConfig::for_address("transaction", "127.0.0.1", port)
        .unwatched()
        .server_tls("disable", "")
        .cluster_setting("checkout_timeout", "\"2s\"")
        .cluster_setting("connect_timeout", "\"1s\"");
    Proxy::start(&config.to_toml())
}

fn replication() -> Login {
    Login::default().parameter("replication", "database")
}

/// Nobody asked for another version than 3.0 or for an option: what is offered is a lie.
#[test]
fn a_negotiation_that_nobody_asked_for_is_refused() -> Result<()> {
    let offers: [&[u8]; 5] = [
        &[0, 3, 0, 0, 0, 0, 0, 0],
        &[0, 3, 0, 2, 0, 0, 0, 0],
        &[0, 3, 0, 0, 0, 0, 0, 1, b'x', 0],
        &[0, 3, 0, 0, 0xff, 0xff, 0xff, 0xff],
        &[],
    ];
    for offer in offers {
        let proxy = proxy(serve([message(b'v', offer), welcome()].concat())?)?;
        for login in [Login::default(), replication()] {
            let begun = Instant::now();
            let messages = Client::connect(proxy.addr())?.try_login(&login)?;
            let state = messages.last().and_then(Message::sqlstate);
            assert_eq!(state.as_deref(), Some("08001"), "{offer:?}: {messages:?}");
            assert!(begun.elapsed() < SOON);
        }
        let log = proxy.log();
        assert!(log.contains("0x76 during login"), "{log}");
    }
    Ok(())
}

#[test]
fn a_login_of_replication_that_makes_no_sense_is_refused() -> Result<()> {
    let huge = b"S\x3f\xff\xff\xffname\0".to_vec();
    let answers = [
        message(b'T', &[0; 2]),
        message(b'W', &[0; 3]),
        message(b'S', b"no terminator"),
        message(b'K', &[1]),
        huge,
        vec![b'Z', 0, 0, 0, 3],
        vec![0; 100],
        Vec::new(),
    ];
    for answer in answers {
        let after = [message(b'R', &[0; 4]), answer.clone()].concat();
        let proxy = proxy(serve(after)?)?;
        let messages = Client::connect(proxy.addr())?.try_login(&replication())?;
        let state = messages.last().and_then(Message::sqlstate);
        assert_eq!(state.as_deref(), Some("08001"), "{answer:?}: {messages:?}");
    }
    Ok(())
}

#[test]
fn what_is_no_message_ends_a_replication_client() -> Result<()> {
    for nonsense in [vec![b'd', 0, 0, 0, 3], vec![b'd', 0xff, 0, 0, 0], vec![0; 16]] {
        // The proxy reads nothing behind the login before the client has its welcome.
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let proxy = proxy(listener.local_addr()?.port())?;
        let sent = nonsense.clone();
        let server = std::thread::spawn(move || -> Result<()> {
            let (mut stream, _) = listener.accept()?;
            let mut received = [0; 1024];
            assert!(stream.read(&mut received)? > 0, "no startup packet");
            stream.write_all(&welcome())?;
            assert!(stream.read(&mut received)? > 0, "no query of the client");
            stream.write_all(&[message(b'W', &[0; 3]), message(b'd', b"k"), sent].concat())?;
            assert_eq!(stream.read_to_end(&mut Vec::new())?, 0, "the proxy went on");
            Ok(())
        });
        let mut client = Client::login_as(proxy.addr(), &replication())?;
        client.send(&query("START_REPLICATION 0/0"))?;
        let messages = client.rest()?;
        let tags: Vec<u8> = messages.iter().map(|message| message.tag).collect();
        assert_eq!(tags, b"WdE", "{messages:?}");
        let state = messages.last().and_then(Message::sqlstate);
        assert_eq!(state.as_deref(), Some("08P01"), "{nonsense:?}");
        server.join().expect("the thread ends")?;
    }
    Ok(())
}
