//! Clients that ask for TLS, or do not, against what the mode says.

use anyhow::{Context, Result};
use pgherd_harness::certificates::Authority;
use pgherd_harness::postgres::{DATABASE, Postgres};
use pgherd_harness::proxy::{ADMIN_PASSWORD, ADMIN_USER, Proxy, ProxyConfig};
use pgherd_harness::raw::frontend::{gssenc_request, ssl_request};
use pgherd_harness::raw::{Client, Login};

use super::Stand;
use crate::cancel::{check_cancelled, start_sleeping};
use crate::twin::startup::told;

/// The answers to requests for encryption, and then to a login.
fn dialogue(addr: std::net::SocketAddr, requests: &[Vec<u8>]) -> Result<Vec<String>> {
    let mut client = Client::connect(addr)?;
    let mut answers = Vec::new();
    for request in requests {
        client.send(request)?;
        let Some(byte) = client.byte()? else {
            answers.push("(closed)".to_owned());
            return Ok(answers);
        };
        if byte == b'E' {
            client.put_back(byte);
            answers.extend(told(&client.rest()?));
            return Ok(answers);
        }
        answers.push(char::from(byte).to_string());
    }
    answers.extend(told(&client.try_login(&Login::default())?).pop());
    Ok(answers)
}

#[test]
fn without_certificates_requests_are_declined_as_by_postgres() -> Result<()> {
    let postgres = Postgres::start()?;
    let proxy = Proxy::start(&ProxyConfig::transaction(&postgres).to_toml())?;
    // The versions that are supported differ.
    let cut = |answers: Vec<String>| -> Vec<String> {
        let before = |line: String| line.split(": server").next().unwrap_or("").to_owned();
        answers.into_iter().map(before).collect()
    };
    for row in [vec![ssl_request()], vec![ssl_request(), ssl_request()]] {
        let (expected, actual) = (dialogue(postgres.addr(), &row)?, dialogue(proxy.addr(), &row)?);
        assert_eq!(cut(expected), cut(actual), "{row:?}");
    }
    // Debian's Postgres has GSSAPI; one without answers as the proxy does.
    let rows: [(&[Vec<u8>], &[&str]); 4] = [
        (&[gssenc_request()], &["N", "Z"]),
        (&[ssl_request(), gssenc_request()], &["N", "N", "Z"]),
        (&[gssenc_request(), ssl_request()], &["N", "N", "Z"]),
        (
            &[gssenc_request(), gssenc_request()],
            &["N", "FATAL/FATAL 0A000 unsupported frontend protocol 1234.5680"],
        ),
    ];
    for (row, expected) in rows {
        assert_eq!(cut(dialogue(proxy.addr(), row)?), expected, "{row:?}");
    }
    Ok(())
}

#[test]
fn tls_works_after_a_declined_gss_request() -> Result<()> {
    let stand = Stand::start()?;
    let mut client = Client::connect(stand.proxy.addr())?;
    client.send(&gssenc_request())?;
    assert_eq!(client.byte()?, Some(b'N'));
    client.send(&ssl_request())?;
    assert_eq!(client.byte()?, Some(b'S'));
    let mut client = client.start_tls(&stand.client)?.finish_login(&Login::default())?;
    assert_eq!(client.value("SELECT 1")?, "1");
    let admin = Login::new(ADMIN_USER, ADMIN_PASSWORD, "pgherd");
    let mut admin = Client::login_tls(stand.proxy.addr(), &admin, &stand.client)?;
    for table in ["SHOW CLIENTS", "SHOW SERVERS"] {
        let rows = admin.table(table)?;
        assert!(!rows.is_empty(), "{table}");
        for row in rows {
            let tls = row.get("tls").context("a column tls")?;
            assert!(tls.starts_with("TLSv1.3/TLS_"), "{table}: {row:?}");
        }
    }
    Ok(())
}

#[test]
fn a_request_within_tls_is_a_version_that_nobody_knows() -> Result<()> {
    let stand = Stand::start()?;
    for request in [ssl_request(), gssenc_request()] {
        let answer = |addr| -> Result<Vec<String>> {
            let mut client = Client::connect_tls(addr, &stand.client)?;
            client.send(&request)?;
            Ok(told(&client.rest()?))
        };
        let (expected, actual) = (answer(stand.postgres.addr())?, answer(stand.proxy.addr())?);
        assert_eq!(expected.len(), 1, "{expected:?}");
        let cut = |lines: &[String]| lines[0].split(": server").next().map(str::to_owned);
        assert_eq!(cut(&expected), cut(&actual));
    }
    Ok(())
}

#[test]
fn plain_clients_are_refused_as_by_hostssl_and_taken_with_allow() -> Result<()> {
    let authority = Authority::new()?;
    let certificate = authority.server("server")?;
    let hba = "hostssl all all all scram-sha-256\nlocal all all trust\n";
    let postgres = Postgres::builder().tls(&certificate, &authority.path()).hba(hba).start()?;
    let config = Stand::config(&authority, &certificate, &postgres, "require");
    let mut proxy = Proxy::start(&config.to_toml())?;
    for login in [
        Login::default(),
        Login::new("nobody", "x", "nowhere"),
        Login::new(ADMIN_USER, ADMIN_PASSWORD, "pgherd"),
    ] {
        let answer =
            |addr| -> Result<Vec<String>> { Ok(told(&Client::connect(addr)?.try_login(&login)?)) };
        assert_eq!(answer(postgres.addr())?, answer(proxy.addr())?, "{login:?}");
    }
    // Over TLS both take it, whoever asks.
    let tls = authority.client(false, None)?;
    for addr in [postgres.addr(), proxy.addr()] {
        assert_eq!(Client::login_tls(addr, &Login::default(), &tls)?.value("SELECT 1")?, "1");
    }
    let relaxed = Stand::config(&authority, &certificate, &postgres, "allow");
    proxy.reload(&relaxed.to_toml())?;
    pgherd_harness::poll::until(super::SOON, "plain clients to be taken", || {
        Ok(Client::login(proxy.addr()).ok())
    })?;
    assert_eq!(Client::login_tls(proxy.addr(), &Login::default(), &tls)?.value("SELECT 2")?, "2");
    Ok(())
}

#[test]
fn direct_tls_needs_the_name_of_the_protocol() -> Result<()> {
    let stand = Stand::start()?;
    let direct = Client::connect(stand.proxy.addr())?.start_tls(&stand.client)?;
    let mut direct = direct.finish_login(&Login::default())?;
    assert_eq!(direct.value("SELECT 'direct'")?, "direct");
    assert_eq!(direct.tls().and_then(|tls| tls.alpn_protocol()), Some(&b"postgresql"[..]));

    // A second request is declined: it is encrypted already.
    let mut again = Client::connect(stand.proxy.addr())?.start_tls(&stand.client)?;
    again.send(&ssl_request())?;
    assert_eq!(again.byte()?, Some(b'N'));
    assert_eq!(again.finish_login(&Login::default())?.value("SELECT 1")?, "1");

    // Without ALPN nothing is said, in Postgres 17 as here.
    let nameless = stand.authority.client(false, None)?;
    let mut refused = Client::connect(stand.proxy.addr())?.start_tls(&nameless)?;
    let _ = refused.send(&Login::default().startup());
    assert_eq!(refused.rest()?, []);
    assert!(stand.proxy.log().contains("ALPN"), "{}", stand.proxy.log());

    // With the name of another protocol the handshake itself fails.
    let mut other = (*nameless).clone();
    other.alpn_protocols = vec![b"h2".to_vec()];
    let failed = Client::connect(stand.proxy.addr())?.start_tls(&other.into());
    let text = format!("{:#}", failed.map(drop).expect_err("another protocol"));
    assert!(text.contains("NoApplicationProtocol"), "{text}");
    Ok(())
}

#[test]
fn direct_tls_is_closed_where_there_is_none() -> Result<()> {
    let postgres = Postgres::start()?;
    let proxy = Proxy::start(&ProxyConfig::transaction(&postgres).to_toml())?;
    let client = Authority::new()?.client(true, None)?;
    assert!(Client::connect(proxy.addr())?.start_tls(&client).is_err());
    assert_eq!(Client::login(proxy.addr())?.value("SELECT 1")?, "1");
    Ok(())
}

#[test]
fn certificates_of_clients_are_asked_for_and_believed_as_by_postgres() -> Result<()> {
    let authority = Authority::new()?;
    let certificate = authority.server("server")?;
    let (app, other) = (authority.issue("app", "app", &[])?, authority.issue("o", "other", &[])?);
    let stranger = Authority::new()?.issue("app", "app", &[])?;
    for mode in ["verify-ca", "verify-full"] {
        let hba = format!("hostssl all all all scram-sha-256 clientcert={mode}\n");
        let hba = format!("{hba}host all postgres all scram-sha-256\nlocal all all trust\n");
        let postgres =
            Postgres::builder().tls(&certificate, &authority.path()).hba(&hba).start()?;
        let shown =
            format!(", ca = {:?}, cert = {:?}, key = {:?}", authority.path(), app.cert, app.key);
        let config = ProxyConfig::transaction(&postgres)
            .tls(mode, &certificate, Some(&authority.path()))
            .server_tls("verify-full", &shown);
        let proxy = Proxy::start(&config.to_toml())?;
        let answer = |addr, shown| -> Result<Vec<String>> {
            let tls = authority.client(true, shown)?;
            let mut client = Client::connect_tls(addr, &tls)?;
            let mut answers = told(&client.try_login(&Login::default())?);
            Ok(answers.pop().into_iter().collect())
        };
        for (what, shown) in [("no certificate", None), ("its own", Some(&app))] {
            let expected = answer(postgres.addr(), shown)?;
            assert_eq!(expected, answer(proxy.addr(), shown)?, "{mode}, {what}");
        }
        let expected = answer(postgres.addr(), Some(&other))?;
        let actual = answer(proxy.addr(), Some(&other))?;
        // Refused by both with verify-full; where Postgres blames the password, we do not.
        assert_eq!(expected == ["Z"], actual == ["Z"], "{mode}: {expected:?} {actual:?}");
        assert_eq!(actual == ["Z"], mode == "verify-ca");
        assert!(answer(proxy.addr(), Some(&stranger)).is_err(), "{mode}: another CA's certificate");
        // The certificate is no password.
        let tls = authority.client(true, Some(&app))?;
        let mut wrong = Client::connect_tls(proxy.addr(), &tls)?;
        let told = told(&wrong.try_login(&Login::default().password("wrong"))?);
        assert!(told.last().is_some_and(|last| last.contains("28P01")), "{told:?}");
    }
    Ok(())
}

#[test]
fn a_cancel_reaches_its_query_over_tls_and_without() -> Result<()> {
    let stand = Stand::start()?;
    let login = Login::default().database(DATABASE);
    let mut client = Client::login_tls(stand.proxy.addr(), &login, &stand.client)?;
    start_sleeping(&stand.postgres, &mut client, "tls")?;
    let mut cancel = Client::connect_tls(stand.proxy.addr(), &stand.client)?;
    cancel.send(&client.cancel_request()?)?;
    assert_eq!(cancel.rest()?, []);
    check_cancelled(&mut client);
    // Postgres does not ask pg_hba.conf about cancel requests either.
    start_sleeping(&stand.postgres, &mut client, "plain")?;
    client.cancel(stand.proxy.addr())?;
    check_cancelled(&mut client);
    Ok(())
}
