//! Certificates that change while the proxy runs, and those that cannot be used.

use std::fs;

use anyhow::{Context, Result};
use pgherd_harness::certificates::Authority;
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::{Client, Login};
use rustix::process::Signal;

use super::{SOON, Stand};

/// The certificate that the proxy shows.
fn shown(proxy: &Proxy, authority: &Authority) -> Result<Vec<u8>> {
    let client = Client::connect_tls(proxy.addr(), &authority.client(true, None)?)?;
    let certificates = client.tls().and_then(|tls| tls.peer_certificates());
    Ok(certificates.and_then(<[_]>::first).context("a certificate")?.to_vec())
}

#[test]
fn they_are_read_again_and_a_bad_one_changes_nothing() -> Result<()> {
    let mut stand = Stand::start()?;
    let mut client = Client::login_tls(stand.proxy.addr(), &Login::default(), &stand.client)?;
    let first = shown(&stand.proxy, &stand.authority)?;

    let new = stand.authority.server("new")?;
    fs::copy(&new.cert, &stand.certificate.cert)?;
    // The key does not fit the certificate yet.
    stand.proxy.process().signal(Signal::HUP)?;
    stand.proxy.process().wait_for_log(SOON, "the complaint", |log| {
        log.contains("TLS towards clients stays as it was").then_some(())
    })?;
    assert_eq!(shown(&stand.proxy, &stand.authority)?, first);
    let mut admin = Client::login_tls(
        stand.proxy.addr(),
        &Login::new("admin", "adminsecret", "pgherd"),
        &stand.client,
    )?;
    let refusal = format!("{:#}", admin.rows("RELOAD").expect_err("the key does not fit"));
    assert!(refusal.contains("F0000") && refusal.contains("server.key"), "{refusal}");

    fs::copy(&new.key, &stand.certificate.key)?;
    admin.rows("RELOAD")?;
    poll::until(SOON, "the new certificate", || {
        Ok((shown(&stand.proxy, &stand.authority)? != first).then_some(()))
    })?;
    assert_eq!(client.value("SELECT 'still here'")?, "still here");
    Ok(())
}

#[test]
fn server_connections_are_kept_while_their_files_stay_the_same() -> Result<()> {
    let mut stand = Stand::start()?;
    let backend = |stand: &Stand| -> Result<String> {
        let login = Login::default();
        Client::login_tls(stand.proxy.addr(), &login, &stand.client)?
            .value("SELECT pg_backend_pid()")
    };
    let first = backend(&stand)?;
    let reloaded = |stand: &mut Stand, times: usize| {
        stand.proxy.process().signal(Signal::HUP)?;
        stand.proxy.process().wait_for_log(SOON, "the reload", |log| {
            (log.matches("the settings have been read again").count() == times).then_some(())
        })
    };
    reloaded(&mut stand, 1)?;
    assert_eq!(backend(&stand)?, first);
    // Another CA: the connections that trusted the old one are replaced.
    let other = Authority::new()?;
    let ca = stand.authority.path();
    let both = format!("{}{}", fs::read_to_string(&ca)?, fs::read_to_string(other.path())?);
    fs::write(&ca, both)?;
    reloaded(&mut stand, 2)?;
    assert_ne!(backend(&stand)?, first);
    // One that is gone: the clusters stay.
    fs::remove_file(&ca)?;
    stand.proxy.process().signal(Signal::HUP)?;
    stand.proxy.process().wait_for_log(SOON, "the complaint", |log| {
        log.contains("the clusters stay as they were").then_some(())
    })?;
    backend(&stand)?;
    Ok(())
}

#[test]
fn files_that_cannot_be_used_are_named_at_the_start_and_by_check() -> Result<()> {
    let authority = Authority::new()?;
    let good = authority.server("server")?;
    let postgres = Postgres::start()?;
    let empty = authority.directory().join("empty.pem");
    fs::write(&empty, "nothing\n")?;
    let absent = authority.directory().join("absent.pem");
    let other_key = authority.server("other")?.key;
    let base = || ProxyConfig::transaction(&postgres);
    let with = |cert: &std::path::Path, key: &std::path::Path| {
        let pair = pgherd_harness::certificates::Certificate {
            cert: cert.to_owned(),
            key: key.to_owned(),
        };
        base().tls("require", &pair, None)
    };
    let ca = |path: &std::path::Path| base().server_tls("verify-full", &format!(", ca = {path:?}"));
    let rows = [
        (with(&absent, &good.key), "cert: cannot read", "absent.pem", "No such file"),
        (with(&empty, &good.key), "cert:", "empty.pem", "no certificate"),
        (with(&good.cert, &empty), "key:", "empty.pem", "no private key"),
        (with(&good.cert, &other_key), "key:", "other.key", "cannot be used"),
        (with(authority.directory(), &good.key), "cert: cannot read", "ca", "not a file"),
        (ca(&absent), "server_tls: ca: cannot read", "absent.pem", "No such file"),
    ];
    for (config, setting, path, reason) in rows {
        for check in [false, true] {
            let arguments: &[&str] = if check { &["--check"] } else { &[] };
            let builder = Proxy::builder().config(&config.to_toml());
            let (_, said) = builder.arguments(arguments.iter().copied()).spawn()?.failure()?;
            for part in [setting, path, reason] {
                assert!(said.contains(part), "--check: {check}; {part:?} is not in\n{said}");
            }
        }
    }
    let check = Proxy::builder().config(&with(&good.cert, &good.key).to_toml());
    let mut spawned = check.arguments(["--check"]).spawn()?;
    assert!(spawned.process.wait(SOON)?.success(), "{}", spawned.process.log());
    Ok(())
}
