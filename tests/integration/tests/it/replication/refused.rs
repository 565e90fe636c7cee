//! Replication connections that cannot be opened: the client hears Postgres's own words.

use anyhow::{Context, Result};
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::Proxy;
use pgherd_harness::raw::{Client, Login, Message};

use super::{SOON, config, logical, physical, start};

/// Severity, SQLSTATE, message, detail and hint of the refusal.
fn refusal(addr: std::net::SocketAddr, login: &Login) -> Result<String> {
    let mut client = Client::connect(addr)?;
    let mut messages = client.try_login(login)?;
    messages.extend(client.rest()?);
    let error = messages.last().context("closed without a word")?;
    let field = |code| error.field(code).unwrap_or_default();
    Ok(b"SVCMDH".map(field).join("|"))
}

#[track_caller]
fn check(postgres: &Postgres, proxy: &Proxy, login: &Login, state: &str) {
    let expected = refusal(postgres.addr(), login).expect("Postgres answers");
    assert!(expected.contains(state), "{expected}");
    assert_eq!(refusal(proxy.addr(), login).expect("the proxy answers"), expected, "{login:?}");
}

#[test]
fn values_that_mean_nothing() -> Result<()> {
    let (postgres, proxy) = start()?;
    for value in ["maybe", "", "2", "Database"] {
        check(&postgres, &proxy, &Login::default().parameter("replication", value), "22023");
    }
    // It stands before everything else that may be wrong.
    let login = Login::new("", "x", "y").parameter("replication", "x").protocol(3 << 16 | 9999);
    check(&postgres, &proxy, &login, "22023");
    Ok(())
}

#[test]
fn values_that_mean_no_replication() -> Result<()> {
    let (_postgres, proxy) = start()?;
    for value in ["false", "off", "no", "0", "F", "of"] {
        let login = Login::default().parameter("replication", value);
        let mut client = Client::login_as(proxy.addr(), &login)?;
        assert_eq!(client.value("SELECT 1")?, "1", "{value}");
    }
    Ok(())
}

#[test]
fn a_wrong_password() -> Result<()> {
    let (postgres, proxy) = start()?;
    check(&postgres, &proxy, &physical().password("wrong"), "28P01");
    check(&postgres, &proxy, &logical().password("wrong"), "28P01");
    let stranger = Login::new("stranger", "x", "replication").parameter("replication", "true");
    check(&postgres, &proxy, &stranger, "28P01");
    Ok(())
}

#[test]
fn a_role_without_the_privilege() -> Result<()> {
    let (postgres, proxy) = start()?;
    let login = Login::default();
    check(&postgres, &proxy, &login.clone().parameter("replication", "true"), "42501");
    check(&postgres, &proxy, &login.parameter("replication", "database"), "42501");
    Ok(())
}

#[test]
fn what_pg_hba_conf_forbids() -> Result<()> {
    let (postgres, proxy) = start()?;
    let hba = postgres.data_directory().join("pg_hba.conf");
    let rules = std::fs::read_to_string(&hba)?;
    std::fs::write(&hba, format!("host replication postgres 127.0.0.1/32 reject\n{rules}"))?;
    postgres.sql("SELECT pg_reload_conf()")?;
    poll::until(SOON, "the new rules", || {
        Ok(refusal(postgres.addr(), &physical()).ok().filter(|it| it.contains("28000")))
    })?;
    check(&postgres, &proxy, &physical(), "28000");
    // The rule is about physical replication only.
    assert_eq!(Client::login_as(proxy.addr(), &logical())?.value("SELECT 1")?, "1");
    Ok(())
}

#[test]
fn too_many_senders() -> Result<()> {
    let postgres = Postgres::builder().setting("max_wal_senders", "1").start()?;
    let proxy = Proxy::start(&config(&postgres).to_toml())?;
    let first = Client::login_as(proxy.addr(), &physical())?;
    check(&postgres, &proxy, &physical(), "53300");
    first.terminate()?;
    poll::until(SOON, "the place to be free", || {
        Ok(Client::login_as(proxy.addr(), &logical()).ok().map(drop))
    })
}

#[test]
fn a_database_that_is_not_there_and_a_bad_parameter() -> Result<()> {
    let (postgres, proxy) = start()?;
    check(&postgres, &proxy, &logical().database("nowhere"), "3D000");
    check(&postgres, &proxy, &physical().parameter("nonsense", "1"), "42704");
    check(&postgres, &proxy, &physical().parameter("options", "-c port=1"), "55P02");
    Ok(())
}

#[test]
fn without_wal_for_it() -> Result<()> {
    let postgres = Postgres::builder().setting("wal_level", "replica").start()?;
    let proxy = Proxy::start(&config(&postgres).to_toml())?;
    let slot = "CREATE_REPLICATION_SLOT x LOGICAL test_decoding";
    let answer =
        |addr| -> Result<Vec<Message>> { Client::login_as(addr, &logical())?.simple(slot) };
    let expected = answer(postgres.addr())?;
    assert_eq!(expected.iter().find_map(Message::sqlstate).as_deref(), Some("55000"));
    assert_eq!(answer(proxy.addr())?, expected);
    Ok(())
}

#[test]
fn the_admin_database() -> Result<()> {
    let (_postgres, proxy) = start()?;
    for database in ["pgherd", "pgbouncer"] {
        let said = refusal(proxy.addr(), &logical().database(database))?;
        assert!(said.contains("0A000"), "{said}");
    }
    Ok(())
}

#[test]
fn a_server_that_is_not_there() -> Result<()> {
    let (mut postgres, proxy) = start()?;
    postgres.stop()?;
    let said = refusal(proxy.addr(), &physical())?;
    assert!(said.starts_with("FATAL|FATAL|08001|"), "{said}");
    assert!(!said.contains("127.0.0.1"), "addresses are for the log: {said}");
    Ok(())
}
