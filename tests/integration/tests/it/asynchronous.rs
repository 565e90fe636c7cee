//! What a server says by itself: notifications, notices, parameters and goodbyes, at any moment.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::frontend::{bind, execute, flush, message, parse, query, sync};
use pgherd_harness::raw::{Client, Message};

fn start(mode: &str) -> Result<(Postgres, Proxy)> {
    let postgres = Postgres::start()?;
    let proxy = Proxy::start(&ProxyConfig::new(mode, &postgres).pool_size(3).to_toml())?;
    Ok((postgres, proxy))
}

/// Channel and payload of a NotificationResponse.
fn notification(message: &Message) -> Result<String> {
    ensure!(message.tag == b'A', "not a notification: {message:?}");
    let text = message.body.get(4..).context("too short")?;
    Ok(text.split(|&byte| byte == 0).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" "))
}

/// Both modes: in transaction mode LISTEN keeps the server connection with its client.
#[track_caller]
fn in_both_modes(check: impl Fn(&Postgres, &Proxy) -> Result<()>) {
    for mode in ["transaction", "session"] {
        let (postgres, proxy) = start(mode).expect("the servers start");
        check(&postgres, &proxy).unwrap_or_else(|error| panic!("{mode}: {error:#}"));
    }
}

#[test]
fn notifications_reach_an_idle_listener() {
    in_both_modes(|postgres, proxy| {
        let mut listener = Client::login(proxy.addr())?;
        listener.rows("LISTEN news")?;
        let mut others = [Client::login(proxy.addr())?, Client::login(postgres.addr())?];
        for round in 0..10 {
            for (number, other) in others.iter_mut().enumerate() {
                let payload = format!("{round}-{number}");
                other.rows(&format!("NOTIFY news, '{payload}'"))?;
                let heard = notification(&listener.expect_message()?)?;
                assert_eq!(heard.trim(), format!("news {payload}"));
            }
        }
        // A payload as long as there may be, and many in one transaction.
        others[0].rows("SELECT pg_notify('news', repeat('x', 7999))")?;
        assert_eq!(listener.expect_message()?.body.len(), 4 + 5 + 8000);
        others[1].rows("SELECT pg_notify('news', n::text) FROM generate_series(1, 2000) n")?;
        for n in 1..=2000 {
            assert_eq!(notification(&listener.expect_message()?)?.trim(), format!("news {n}"));
        }
        assert_eq!(listener.value("SELECT 'still the same'")?, "still the same");
        Ok(())
    });
}

#[test]
fn nobody_hears_what_another_listens_to() {
    in_both_modes(|_, proxy| {
        let mut listener = Client::login(proxy.addr())?;
        listener.rows("LISTEN secret")?;
        let mut other = Client::login(proxy.addr())?;
        other.rows("NOTIFY secret, 'first'")?;
        assert_eq!(listener.expect_message()?.tag, b'A');
        listener.terminate()?;
        let mut third = Client::login(proxy.addr())?;
        for _ in 0..5 {
            let answers = [other.simple("NOTIFY secret, 'x'")?, third.simple("SELECT 1")?];
            let heard = answers.iter().flatten().filter(|message| message.tag == b'A').count();
            assert_eq!(heard, 0, "{answers:?}");
        }
        assert!(third.drain(Duration::from_millis(200))?.is_empty());
        Ok(())
    });
}

/// A batch that is open takes no notifications; they come with its end, and in their place.
#[test]
fn notifications_wait_for_the_end_of_a_transaction() {
    in_both_modes(|postgres, proxy| {
        let mut other = Client::login(postgres.addr())?;
        let mut answers = Vec::new();
        for addr in [postgres.addr(), proxy.addr()] {
            let mut listener = Client::login(addr)?;
            listener.rows("LISTEN news")?;
            listener.rows("BEGIN")?;
            other.rows("NOTIFY news, 'in a transaction'")?;
            let batch = [parse("", "SELECT 1", &[]), bind("", "", &[]), execute("", 0), flush()];
            listener.send(&batch.concat())?;
            let mut answer = listener.until_tag(b'C')?;
            listener.send(&[sync(), query("COMMIT")].concat())?;
            answer.extend(listener.until_ready(2)?);
            answer.extend(listener.simple("SELECT 2")?);
            answers.push(answer.iter().map(|message| message.tag).collect::<Vec<_>>());
        }
        assert_eq!(answers[1], answers[0], "{:?}", answers[1].escape_ascii().to_string());
        Ok(())
    });
}

/// The longest way: a listener that does not read holds nobody up.
#[test]
fn a_listener_that_does_not_read_is_bounded() -> Result<()> {
    let (_postgres, proxy) = start("transaction")?;
    let mut deaf = Client::login(proxy.addr())?;
    deaf.rows("LISTEN news")?;
    let mut other = Client::login(proxy.addr())?;
    for _ in 0..20 {
        other.rows(
            "SELECT pg_notify('news', repeat('x', 7900) || n::text) FROM generate_series(1, 200) n",
        )?;
    }
    assert_eq!(Client::login(proxy.addr())?.value("SELECT 1")?, "1");
    // 32 MB were sent; all of it comes, in order.
    for number in 0..4000 {
        let heard = notification(&deaf.expect_message()?)?;
        let wanted = format!("x{}", number % 200 + 1);
        assert!(heard.trim_end().ends_with(&wanted), "{number}: …{}", &heard[heard.len() - 20..]);
    }
    Ok(())
}

#[test]
fn a_goodbye_reaches_an_idle_client_that_has_its_connection() {
    in_both_modes(|postgres, proxy| {
        let mut client = Client::login(proxy.addr())?;
        client.rows("LISTEN news")?;
        let backend = client.value("SELECT pg_backend_pid()")?;
        postgres.sql(&format!("SELECT pg_terminate_backend({backend})"))?;
        let told = client.rest()?;
        let states: Vec<_> = told.iter().map(Message::sqlstate).collect();
        assert_eq!(states, [Some("57P01".to_owned())], "{told:?}");
        assert_eq!(Client::login(proxy.addr())?.value("SELECT 1")?, "1");
        Ok(())
    });
}

#[test]
fn notices_and_parameters_come_between_answers() {
    in_both_modes(|postgres, proxy| {
        let raise = "DO $$BEGIN RAISE WARNING 'careful'; END$$";
        let mut answers = Vec::new();
        for addr in [postgres.addr(), proxy.addr()] {
            let mut client = Client::login(addr)?;
            let batch = |sql: &str| {
                [parse("", sql, &[]), bind("", "", &[]), execute("", 0), flush()].concat()
            };
            client.rows("BEGIN")?;
            client.send(&batch(raise))?;
            let mut answer = client.until_tag(b'C')?;
            client.send(&batch("SET LOCAL TimeZone = 'Asia/Tokyo'"))?;
            answer.extend(client.until_tag(b'C')?);
            client.send(&sync())?;
            answer.extend(client.until_ready(1)?);
            answer.extend(client.simple("ROLLBACK")?);
            answers.push(answer);
        }
        assert_eq!(answers[1], answers[0]);
        Ok(())
    });
}

/// A server that answers each query, and then says something that nobody asked for. It takes one
/// connection only.
fn talkative_server() -> Result<std::net::SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let ready = message(b'Z', b"I");
    let parameter = |value: &str| message(b'S', format!("TimeZone\0{value}\0").as_bytes());
    let welcome = [message(b'R', &[0; 4]), parameter("UTC"), message(b'K', &[1; 8]), ready.clone()];
    let answer = [message(b'C', b"DO\0"), ready];
    let unasked = [message(b'N', b"SNOTICE\0C00000\0Mby the way\0\0"), parameter("Mars/Olympus")];
    // Ends with its client.
    std::thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        drop(listener);
        let mut received = [0; 4096];
        ensure!(stream.read(&mut received)? > 0, "no startup packet");
        stream.write_all(&welcome.concat())?;
        while stream.read(&mut received)? > 0 {
            stream.write_all(&answer.concat())?;
            // Not in one segment with the answer, mostly; nothing depends on it.
            std::thread::yield_now();
            stream.write_all(&unasked.concat())?;
        }
        Ok(())
    });
    Ok(addr)
}

#[test]
fn a_notice_on_an_idle_connection_churns_nothing() -> Result<()> {
    for mode in ["transaction", "session"] {
        let addr = talkative_server()?;
        let config = ProxyConfig::for_address(mode, "127.0.0.1", addr.port())
            .unwatched()
            .pool_size(1)
            .server_tls("disable", "");
        let proxy = Proxy::start(&config.to_toml())?;
        let mut client = Client::login(proxy.addr())?;
        for round in 0..5 {
            client.send(&query("SELECT 1"))?;
            let mut tags = Vec::new();
            while tags.last() != Some(&b'Z') {
                tags.push(client.expect_message().with_context(|| format!("{mode}, {round}"))?.tag);
            }
            if mode == "session" {
                // It is the client's connection: what comes is for it, and comes at once.
                let more = [client.expect_message()?.tag, client.expect_message()?.tag];
                assert_eq!(more, *b"NS");
            }
            tags.retain(|tag| !matches!(tag, b'N' | b'S'));
            assert_eq!(tags, b"CZ", "{mode}, {round}");
        }
    }
    Ok(())
}
