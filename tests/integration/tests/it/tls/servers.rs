//! TLS towards instances: what is verified, what is told to whom, and cancels.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use anyhow::{Context, Result};
use pgherd_harness::certificates::{Authority, Certificate};
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::{Client, Login, frontend};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ServerConfig, ServerConnection, StreamOwned};

use crate::cancel::{check_cancelled, start_sleeping};
use crate::twin::startup::told;

const ENCRYPTED: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

fn postgres(certificate: &Certificate, authority: &Authority) -> Result<Postgres> {
    Postgres::builder().tls(certificate, &authority.path()).start()
}

fn proxy(postgres: &Postgres, mode: &str, more: &str) -> Result<Proxy> {
    let config = ProxyConfig::transaction(postgres)
        .server_tls(mode, more)
        .cluster_setting("checkout_timeout", "\"700ms\"");
    Proxy::start(&config.to_toml())
}

#[test]
fn each_mode_against_each_certificate() -> Result<()> {
    let authority = Authority::new()?;
    let right = postgres(&authority.server("right")?, &authority)?;
    let wrong_name = postgres(&authority.issue("name", "x", &["db.example"])?, &authority)?;
    let stranger = Authority::new()?;
    let wrong_ca = postgres(&stranger.server("stranger")?, &stranger)?;
    let plain = Postgres::start()?;
    let ca = format!(", ca = {:?}", authority.path());

    // The mode; then Postgres with the right certificate, one for another host, one of another CA,
    // and without TLS: encrypted (t), not (f), or what the log says.
    let rows: [(&str, [&str; 4]); 5] = [
        ("disable", ["f", "f", "f", "f"]),
        ("prefer", ["t", "t", "t", "f"]),
        ("require", ["t", "t", "t", "does not offer TLS"]),
        ("verify-ca", ["t", "t", "UnknownIssuer", "does not offer TLS"]),
        ("verify-full", ["t", "not valid for name", "UnknownIssuer", "does not offer TLS"]),
    ];
    for (mode, expected) in rows {
        let more = if mode.starts_with("verify") { ca.as_str() } else { "" };
        for (server, expected) in [&right, &wrong_name, &wrong_ca, &plain].into_iter().zip(expected)
        {
            let proxy = proxy(server, mode, more)?;
            if expected.len() == 1 {
                let mut client = Client::login(proxy.addr())?;
                assert_eq!(client.value(ENCRYPTED)?, expected, "{mode}");
                continue;
            }
            let told = told(&Client::connect(proxy.addr())?.try_login(&Login::default())?);
            let last = told.last().context("an answer")?;
            assert!(last.starts_with("FATAL/FATAL 08001 the proxy could not connect"), "{last}");
            assert!(proxy.log().contains(expected), "{mode}: {expected:?} not in\n{}", proxy.log());
            let secrets = ["db.example", "127.0.0.1", "certificate", "CA"];
            assert!(!secrets.iter().any(|secret| last.contains(secret)), "{mode}: {last}");
        }
    }
    Ok(())
}

#[test]
fn a_self_signed_certificate_is_its_own_ca() -> Result<()> {
    // As `openssl req -x509` makes it: CA:TRUE, which no server's certificate should have.
    let authority = Authority::new()?;
    let certificate = authority.self_signed("self")?;
    let server = postgres(&certificate, &authority)?;
    let ca = format!(", ca = {:?}", certificate.cert);
    for mode in ["verify-ca", "verify-full"] {
        assert_eq!(Client::login(proxy(&server, mode, &ca)?.addr())?.value(ENCRYPTED)?, "t");
    }
    let other = format!(", ca = {:?}", authority.self_signed("other")?.cert);
    assert!(Client::login(proxy(&server, "verify-ca", &other)?.addr()).is_err());
    Ok(())
}

/// Somebody between with a certificate of their own, who reads everything and changes nothing.
fn eavesdropper(
    server: SocketAddr,
    shown: &Certificate,
    trusted: Arc<ClientConfig>,
) -> Result<SocketAddr> {
    let certificates = vec![CertificateDer::from_pem_file(&shown.cert)?];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, PrivateKeyDer::from_pem_file(&shown.key)?)?;
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (config, trusted) = (Arc::clone(&config), Arc::clone(&trusted));
            std::thread::spawn(move || eavesdrop(client, server, config, trusted));
        }
    });
    Ok(addr)
}

/// Passes the login on, as far as it goes: each side speaks in turn.
fn eavesdrop(
    mut below: TcpStream,
    server: SocketAddr,
    config: Arc<ServerConfig>,
    trusted: Arc<ClientConfig>,
) -> Result<()> {
    below.read_exact(&mut [0; 8])?;
    below.write_all(b"S")?;
    let mut proxy = StreamOwned::new(ServerConnection::new(config)?, below);
    let mut postgres = Client::connect_tls(server, &trusted)?;
    let mut buffer = [0; 4096];
    loop {
        let count = proxy.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        postgres.send(&buffer[..count])?;
        let answer = postgres.expect_message()?;
        proxy.write_all(&frontend::message(answer.tag, &answer.body))?;
    }
}

#[test]
fn scram_finds_out_who_stands_between_even_where_nothing_is_verified() -> Result<()> {
    let authority = Authority::new()?;
    let certificate = authority.server("server")?;
    let server = postgres(&certificate, &authority)?;
    let between =
        eavesdropper(server.addr(), &authority.server("between")?, authority.client(true, None)?)?;
    let config = ProxyConfig::for_address("transaction", "127.0.0.1", between.port())
        .server_tls("require", "")
        .cluster_setting("checkout_timeout", "\"700ms\"");
    let proxy = Proxy::start(&config.to_toml())?;
    assert!(Client::login(proxy.addr()).is_err());
    let log = proxy.log();
    assert!(log.contains("SCRAM channel binding check failed"), "{log}");
    Ok(())
}

#[test]
fn instances_can_differ_from_their_cluster_and_pem_can_stand_in_the_settings() -> Result<()> {
    let authority = Authority::new()?;
    let server = postgres(&authority.server("server")?, &authority)?;
    let pem = std::fs::read_to_string(authority.path())?;
    let text = ProxyConfig::transaction(&server).server_tls("disable", "").to_toml();
    let own =
        format!("role = \"primary\", server_tls = {{ mode = \"verify-full\", ca = {:?} }}", pem);
    let proxy = Proxy::start(&text.replace("role = \"primary\"", &own))?;
    assert_eq!(Client::login(proxy.addr())?.value(ENCRYPTED)?, "t");
    Ok(())
}

#[test]
fn a_server_that_takes_only_plain_connections_is_reached_with_prefer() -> Result<()> {
    let authority = Authority::new()?;
    let certificate = authority.server("server")?;
    let hba = "hostnossl all all all scram-sha-256\nlocal all all trust\n";
    let server = Postgres::builder().tls(&certificate, &authority.path()).hba(hba).start()?;
    let lenient = proxy(&server, "prefer", "")?;
    assert_eq!(Client::login(lenient.addr())?.value(ENCRYPTED)?, "f");
    let strict = proxy(&server, "require", "")?;
    assert!(Client::login(strict.addr()).is_err());
    Ok(())
}

#[test]
fn cancels_go_the_way_of_the_connection() -> Result<()> {
    let authority = Authority::new()?;
    let certificate = authority.server("server")?;
    let server = Postgres::builder()
        .tls(&certificate, &authority.path())
        .setting("log_connections", "on")
        .start()?;
    let ca = format!(", ca = {:?}", authority.path());
    for (mode, more) in [("verify-full", ca.as_str()), ("prefer", ""), ("disable", "")] {
        let proxy = proxy(&server, mode, more)?;
        let mut client = Client::login(proxy.addr())?;
        start_sleeping(&server, &mut client, mode)?;
        client.cancel(proxy.addr())?;
        check_cancelled(&mut client);
    }
    Ok(())
}

#[test]
fn unix_sockets_are_not_encrypted() -> Result<()> {
    let authority = Authority::new()?;
    let server = postgres(&authority.server("server")?, &authority)?;
    let directory = server.socket_directory();
    // The harness keeps that directory for Postgres's own user.
    std::fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let host = directory.display().to_string();
    let config =
        ProxyConfig::for_address("transaction", &host, server.port()).server_tls("require", "");
    let proxy = Proxy::start(&config.to_toml())?;
    let sql =
        "SELECT inet_server_addr() IS NULL, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(Client::login(proxy.addr())?.rows(sql)?, [["t", "f"]]);
    Ok(())
}
