//! Settings that cannot be obeyed are refused with the place and a hint.

use std::net::TcpListener;

use anyhow::Result;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::Client;

fn sound() -> String {
    ProxyConfig::for_address("transaction", "127.0.0.1", 5432).to_toml()
}

/// Starts a proxy with bad settings; what it says must contain all of `parts`.
#[track_caller]
fn check(config: &str, parts: &[&str]) {
    let failure = Proxy::builder().config(config).spawn().and_then(|spawned| spawned.failure());
    let (_, log) = failure.expect("the proxy ends with an error");
    for part in parts {
        assert!(log.contains(part), "{part:?} is missing in\n{log}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    let config = sound().replace("pool_size =", "pol_size =");
    let line = config.lines().position(|line| line.starts_with("pol_size")).unwrap_or_default() + 1;
    check(&config, &["pol_size", "pool_size", &line.to_string()]);
}

#[test]
fn a_value_of_the_wrong_type_is_named() {
    check(&sound().replace("pool_size = 20", "pool_size = \"many\""), &["pool_size"]);
}

#[test]
fn broken_toml_is_named_with_its_line() {
    check("[proxy]\nlisten = [\n", &["line"]);
}

#[test]
fn a_file_that_is_not_there_is_named() -> Result<()> {
    let arguments = ["--config", "/nowhere/pgherd.toml"];
    let (_, log) = Proxy::builder().arguments(arguments).spawn()?.failure()?;
    assert!(log.contains("/nowhere/pgherd.toml"), "{log}");
    Ok(())
}

#[test]
fn a_port_in_use_is_named() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let config = sound().replacen("\"127.0.0.1:0\"", &format!("\"{address}\""), 1);
    check(&config, &[&address, "in use"]);
    Ok(())
}

#[test]
fn check_tells_sound_settings_from_others() -> Result<()> {
    let mut sound = Proxy::builder().config(&sound()).arguments(["--check"]).spawn()?;
    let status = sound.process.wait(std::time::Duration::from_secs(10))?;
    assert!(status.success(), "{}", sound.process.log());
    let broken = "[proxy]\nlisten = [\"nonsense\"]\n";
    let failure = Proxy::builder().config(broken).arguments(["--check"]).spawn()?.failure()?;
    assert!(failure.1.contains("nonsense"), "{}", failure.1);
    Ok(())
}

#[test]
fn a_reload_with_broken_settings_changes_nothing() -> Result<()> {
    let postgres = Postgres::start()?;
    let config = ProxyConfig::transaction(&postgres).to_toml();
    let mut proxy = Proxy::start(&config)?;
    let mut client = Client::login(proxy.addr())?;
    proxy.reload(&config.replace("pool_size =", "pol_size ="))?;
    proxy.process().wait_for_log(std::time::Duration::from_secs(5), "the complaint", |log| {
        log.contains("pol_size").then_some(())
    })?;
    assert_eq!(client.value("SELECT 1")?, "1");
    assert_eq!(Client::login(proxy.addr())?.value("SELECT 2")?, "2");
    Ok(())
}
