//! What comes before the first ReadyForQuery: packets without a tag, versions, refusals.

use anyhow::{Context, Result};
use pgherd_harness::postgres::{APP_PASSWORD, APP_USER, DATABASE, Postgres};
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::frontend::{
    cancel_request, gssenc_request, message, packet, query, ssl_request, startup,
};
use pgherd_harness::raw::{Client, Login, Message};

const V3_0: u32 = 3 << 16;

fn servers() -> Result<(Postgres, Proxy)> {
    let postgres = Postgres::start()?;
    let proxy = Proxy::start(&ProxyConfig::transaction(&postgres).to_toml())?;
    Ok((postgres, proxy))
}

/// What a client is told: severity, SQLSTATE and message of an error; other messages by their tag.
pub fn told(messages: &[Message]) -> Vec<String> {
    let field = |message: &Message, code| message.field(code).unwrap_or_default();
    messages
        .iter()
        .map(|message| match message.tag {
            b'E' => {
                let severity = [field(message, b'S'), field(message, b'V')].join("/");
                format!("{severity} {} {}", field(message, b'C'), field(message, b'M'))
            }
            // The salt and the nonces are random.
            b'R' => format!("R {}", message.body.get(3).copied().unwrap_or_default()),
            tag => tag.escape_ascii().to_string(),
        })
        .collect()
}

#[test]
fn broken_packets_are_answered_as_by_postgres() -> Result<()> {
    let (postgres, proxy) = servers()?;
    let user = [("user", APP_USER), ("database", DATABASE)];
    let begin = startup(V3_0, &user);
    let mechanism = |name: &str, data: &[u8]| {
        let length = (data.len() as u32).to_be_bytes();
        message(b'p', &[name.as_bytes(), b"\0", &length, data].concat())
    };
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("a length of zero", vec![0, 0, 0, 0]),
        ("a length that is too short", vec![0, 0, 0, 7, 0, 3, 0]),
        ("a length that is too long", vec![0, 1, 0, 0, 0, 3, 0, 0]),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".to_vec()),
        ("no user", startup(V3_0, &[("database", DATABASE)])),
        ("an empty user", startup(V3_0, &[("user", ""), ("database", DATABASE)])),
        ("no terminator", packet(V3_0, b"user\0app\0database\0app\0")),
        ("a name without a value", packet(V3_0, b"user\0")),
        ("a cancel request for nobody", cancel_request(&[1, 2, 3, 4, 5, 6, 7, 8])),
        ("a query instead of a password", [begin.clone(), query("SELECT 1")].concat()),
        ("an unknown mechanism", [begin.clone(), mechanism("SCRAM-NONE", b"n,,n=,r=x")].concat()),
        ("garbage in SCRAM", [begin.clone(), mechanism("SCRAM-SHA-256", b"garbage")].concat()),
        ("an empty SCRAM message", [begin.clone(), mechanism("SCRAM-SHA-256", b"")].concat()),
        (
            "channel binding without TLS",
            [begin.clone(), mechanism("SCRAM-SHA-256", b"p=tls-unique,,n=,r=abc")].concat(),
        ),
        (
            "a SCRAM proof of nonsense",
            [
                begin,
                mechanism("SCRAM-SHA-256", b"n,,n=,r=abcdefghijklmnopqr"),
                message(b'p', b"c=biws,r=wrong,p=AAAA"),
            ]
            .concat(),
        ),
    ];
    let mut differences = Vec::new();
    for (name, bytes) in rows {
        let answer = |addr| -> Result<Vec<String>> {
            let mut client = Client::connect(addr)?;
            client.send(&bytes)?;
            Ok(told(&client.rest().context(name)?))
        };
        let (expected, actual) = (answer(postgres.addr())?, answer(proxy.addr())?);
        // Postgres only logs a length that is impossible; a hint to whoever sent it does no harm.
        let hint = expected.is_empty()
            && actual.first().is_some_and(|error| error.starts_with("FATAL/FATAL 08P01"));
        if expected != actual && !hint {
            differences.push(format!("{name}\n  Postgres {expected:?}\n  pgherd   {actual:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

#[test]
fn refused_logins_read_as_in_postgres() -> Result<()> {
    let (postgres, proxy) = servers()?;
    let rows = [
        ("a wrong password", Login::default().password("wrong")),
        ("an unknown user", Login::new("nobody", "x", DATABASE)),
        ("an unknown user and database", Login::new("nobody", "x", "nowhere")),
        ("an unknown database", Login::default().database("nowhere")),
        ("a parameter that is not there", Login::default().parameter("nonsense", "1")),
        ("a bad value of a parameter", Login::default().parameter("TimeZone", "Nowhere/Land")),
    ];
    let mut differences = Vec::new();
    for (name, login) in rows {
        let answer = |addr| -> Result<Vec<String>> {
            let mut client = Client::connect(addr)?;
            let mut messages = client.try_login(&login).context(name)?;
            messages.extend(client.rest()?);
            Ok(told(&messages))
        };
        let (expected, actual) = (answer(postgres.addr())?, answer(proxy.addr())?);
        // Where the login stands when it is refused is for each side to say.
        if expected.last() != actual.last() {
            differences.push(format!("{name}\n  Postgres {expected:?}\n  pgherd   {actual:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

#[test]
fn users_and_databases_cannot_be_probed() -> Result<()> {
    let postgres = Postgres::start()?;
    let config = ProxyConfig::transaction(&postgres).named("served", DATABASE);
    let proxy = Proxy::start(&config.to_toml())?;
    let rows = [
        Login::new(APP_USER, "wrong", "served"),
        Login::new("nobody", APP_PASSWORD, "served"),
        Login::new(APP_USER, APP_PASSWORD, "nowhere"),
        Login::new(APP_USER, "wrong", "nowhere"),
    ];
    for login in rows {
        let messages = Client::connect(proxy.addr())?.try_login(&login)?;
        let name =
            if login.startup().windows(6).any(|w| w == b"nobody") { "nobody" } else { APP_USER };
        let error = format!("FATAL/FATAL 28P01 password authentication failed for user \"{name}\"");
        let dialogue = ["R 10", "R 11", &error];
        assert_eq!(told(&messages), dialogue, "{login:?}");
    }
    Client::login_as(proxy.addr(), &Login::default().database("served"))?;
    Ok(())
}

/// What Postgres answers to GSSENCRequest depends on how it was built; pgherd never does GSSAPI.
#[test]
fn encryption_is_declined_in_either_order() -> Result<()> {
    let (_postgres, proxy) = servers()?;
    for requests in [
        vec![ssl_request()],
        vec![gssenc_request()],
        vec![ssl_request(), gssenc_request()],
        vec![gssenc_request(), ssl_request()],
    ] {
        let mut client = Client::connect(proxy.addr())?;
        for request in &requests {
            client.send(request)?;
            assert_eq!(client.byte()?, Some(b'N'), "{requests:?}");
        }
        let messages = client.try_login(&Login::default())?;
        assert_eq!(messages.last().map(|message| message.tag), Some(b'Z'), "{messages:?}");
    }
    Ok(())
}

#[test]
fn bytes_sent_before_the_answer_to_ssl_request_are_refused() -> Result<()> {
    let (postgres, proxy) = servers()?;
    let mut subjects = vec![proxy.addr()];
    // Postgres 13 says it in the words of protocol 2.
    if postgres.install().major() > 13 {
        subjects.push(postgres.addr());
    }
    for addr in subjects {
        let mut client = Client::connect(addr)?;
        client.send(&[ssl_request(), Login::default().startup()].concat())?;
        // Postgres answers the request before it looks; pgherd need not.
        let first = client.byte()?.context("closed without a word")?;
        if first == b'E' {
            client.put_back(first);
        }
        let messages = client.rest()?;
        let states: Vec<_> = messages.iter().map(Message::sqlstate).collect();
        assert_eq!(states, [Some("08P01".to_owned())], "{messages:?}");
    }
    Ok(())
}

#[test]
fn a_startup_packet_may_come_in_pieces() -> Result<()> {
    let (_postgres, proxy) = servers()?;
    let login = Login::default();
    let bytes = login.startup();
    for point in 1..bytes.len() {
        let mut client = Client::connect(proxy.addr())?;
        let (first, second) = bytes.split_at(point);
        client.send(first)?;
        std::thread::yield_now();
        client.send(second)?;
        let messages = client.continue_login(&login)?;
        assert_eq!(messages.last().map(|message| message.tag), Some(b'Z'), "cut at {point}");
    }
    Ok(())
}

#[test]
fn the_welcome_tells_the_same_parameters() -> Result<()> {
    let (postgres, proxy) = servers()?;
    let plain = Login::default();
    let special = Login::default()
        .parameter("application_name", "twin's \\ name")
        .parameter("client_encoding", "LATIN1")
        .parameter("TimeZone", "Asia/Tokyo")
        .parameter("options", "-c datestyle=German -c IntervalStyle=iso_8601");
    for login in [plain, special] {
        // In the same order, which is another one in each version of Postgres.
        let welcome = |addr| -> Result<Vec<_>> {
            let client = Client::login_as(addr, &login)?;
            Ok(client.welcome().iter().filter_map(Message::parameter_status).collect())
        };
        assert_eq!(welcome(proxy.addr())?, welcome(postgres.addr())?, "{login:?}");
    }
    Ok(())
}

#[test]
fn startup_parameters_are_in_force() -> Result<()> {
    let (_postgres, proxy) = servers()?;
    let login = Login::default()
        .parameter("application_name", "twin's \\ name")
        .parameter("TimeZone", "Asia/Tokyo")
        .parameter("options", "-c statement_timeout=12345 -c my.setting=a\\ b");
    let mut other = Client::login(proxy.addr())?;
    let mut client = Client::login_as(proxy.addr(), &login)?;
    for _ in 0..3 {
        assert_eq!(other.value("SHOW TimeZone")?, "UTC");
        assert_eq!(client.value("SHOW application_name")?, "twin's \\ name");
        assert_eq!(client.value("SHOW TimeZone")?, "Asia/Tokyo");
        assert_eq!(client.value("SHOW statement_timeout")?, "12345ms");
        assert_eq!(client.value("SHOW my.setting")?, "a b");
        assert_eq!(other.value("SHOW application_name")?, "");
    }
    Ok(())
}

/// Recorded from Postgres 18.4, and compared with the server at hand where that is no older. The
/// version that is offered, the options that are not known, and the length of the cancel key.
#[test]
fn versions_and_options_are_negotiated_as_by_postgres_18() -> Result<()> {
    type Offer = Option<(u32, &'static [&'static str])>;
    const LATEST: u32 = V3_0 | 2;
    let (a, b) = ("_pq_.command_tag", "_pq_.b");
    let rows: [(u32, &[&str], Offer, usize); 10] = [
        (V3_0, &[], None, 4),
        // Nobody has ever defined it; it is taken as it is, with the keys of 3.0.
        (V3_0 | 1, &[], None, 4),
        (LATEST, &[], None, 32),
        (V3_0 | 3, &[], Some((LATEST, &[])), 32),
        // How libpq probes whether a server negotiates.
        (V3_0 | 9999, &[], Some((LATEST, &[])), 32),
        (V3_0 | 0xffff, &[], Some((LATEST, &[])), 32),
        (V3_0, &[a, b], Some((V3_0, &["_pq_.command_tag", "_pq_.b"])), 4),
        (V3_0 | 1, &[b], Some((V3_0 | 1, &["_pq_.b"])), 4),
        (LATEST, &[b, b], Some((LATEST, &["_pq_.b", "_pq_.b"])), 32),
        (V3_0 | 9999, &[b], Some((LATEST, &["_pq_.b"])), 32),
    ];
    let (postgres, proxy) = servers()?;
    let mut subjects = vec![proxy.addr()];
    if postgres.install().major() >= 18 {
        subjects.push(postgres.addr());
    }
    for addr in subjects {
        for (version, options, offer, key) in &rows {
            let mut login = Login::default().protocol(*version);
            for option in *options {
                login = login.parameter(option, "1");
            }
            let mut client = Client::connect(addr)?;
            let messages = client.try_login(&login)?;
            let row = format!("{version:#x} {options:?}: {messages:?}");
            let offered = offer.map(|(version, options)| {
                let mut body =
                    [version.to_be_bytes(), (options.len() as u32).to_be_bytes()].concat();
                options.iter().for_each(|option| body.extend([option.as_bytes(), b"\0"].concat()));
                body
            });
            let found = messages.iter().find(|message| message.tag == b'v');
            assert_eq!(found.map(|message| message.body.clone()), offered, "{row}");
            let first = messages.first().map(|message| message.tag);
            assert!(offered.is_none() || first == Some(b'v'), "{row}");
            let data = messages.iter().find(|message| message.tag == b'K').context("no key")?;
            assert_eq!(data.body.len(), 4 + key, "{row}");
            assert_eq!(client.value("SELECT 1")?, "1");
        }
    }
    Ok(())
}

#[test]
fn versions_that_are_not_3_are_refused() -> Result<()> {
    let (postgres, proxy) = servers()?;
    for addr in [postgres.addr(), proxy.addr()] {
        let mut client = Client::connect(addr)?;
        client.send(&startup(4 << 16, &[("user", APP_USER)]))?;
        let messages = client.rest()?;
        let [error] = messages.as_slice() else { panic!("{messages:?}") };
        assert_eq!(error.sqlstate().as_deref(), Some("0A000"));
        assert_eq!(error.field(b'S').as_deref(), Some("FATAL"));
    }
    for version in [1_u32 << 16, 2 << 16] {
        let mut client = Client::connect(proxy.addr())?;
        client.send(&startup(version, &[("user", APP_USER)]))?;
        // The layout of the rest is that of another protocol.
        assert_eq!(client.byte()?, Some(b'E'));
    }
    Ok(())
}
