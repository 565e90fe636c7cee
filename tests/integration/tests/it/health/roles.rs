//! Who is the primary, through promotions and returns.

use std::time::Duration;

use anyhow::{Context, Result};
use pgherd_harness::poll;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::Client;

use super::stand::{SOON, Stand};

#[test]
fn roles_are_found_out() -> Result<()> {
    let stand = Stand::auto(2, |config| config)?;
    stand.wait_healthy()?;
    assert_eq!(stand.instance(&stand.primary)?["configured"], "auto");
    let mut client = Client::login(stand.proxy.addr())?;
    client.rows("INSERT INTO t VALUES (1)")?;
    Ok(())
}

#[test]
fn a_promoted_replica_is_the_primary_and_the_old_one_is_fenced() -> Result<()> {
    let mut stand = Stand::auto(2, |config| config)?;
    stand.wait_healthy()?;
    stand.primary.kill9()?;
    stand.replicas[0].promote()?;
    let took = stand.wait(&stand.replicas[0], &[("role", "primary"), ("timeline", "2")])?;
    assert!(took < Duration::from_secs(5), "{took:?}");
    stand.wait(&stand.primary, &[("role", "fenced"), ("reads", "f")])?;
    let mut client = Client::login(stand.proxy.addr())?;
    client.rows("INSERT INTO t VALUES (1)")?;
    assert_eq!(stand.replicas[0].sql("SELECT count(*) FROM t")?, [["1"]]);

    stand.primary.restart()?;
    // It says that it is a primary, and is not believed.
    poll::until(SOON, "the old primary to be seen", || {
        let row = stand.instance(&stand.primary)?;
        assert_eq!(row["role"], "fenced", "{row:?}");
        Ok((row["check_error"] == "NULL" && row["reason"].contains("timeline 2")).then_some(()))
    })?;
    client.rows("INSERT INTO t VALUES (2)")?;
    assert_eq!(stand.primary.sql("SELECT count(*) FROM t")?, [["0"]]);
    Ok(())
}

#[test]
fn a_promotion_beside_a_living_primary_fences_it() -> Result<()> {
    let stand = Stand::auto(1, |config| config)?;
    stand.wait_healthy()?;
    stand.replicas[0].promote()?;
    stand.wait(&stand.replicas[0], &[("role", "primary")])?;
    stand.wait(&stand.primary, &[("role", "fenced"), ("state", "fenced")])?;
    assert!(stand.proxy.log().contains("the role of the instance is in doubt"));
    Ok(())
}

#[test]
fn a_configured_primary_in_recovery_gets_no_writes() -> Result<()> {
    let stand = Stand::start(1, |config| config)?;
    stand.wait_healthy()?;
    let standby = &stand.replicas[0];
    let config = ProxyConfig::transaction(standby).cluster_setting("checkout_timeout", "\"1s\"");
    let stand = Stand { proxy: Proxy::start(&config.to_toml())?, ..stand };
    let standby = &stand.replicas[0];
    stand.wait(standby, &[("role", "replica"), ("configured", "primary")])?;
    let row = stand.instance(standby)?;
    assert!(row["reason"].contains("in recovery"), "{row:?}");
    Ok(())
}

#[test]
fn an_instance_alone_may_be_a_standby() -> Result<()> {
    let stand = Stand::start(1, |config| config)?;
    let config = ProxyConfig::transaction(&stand.replicas[0]).role("auto");
    let stand = Stand { proxy: Proxy::start(&config.to_toml())?, ..stand };
    let mut client = Client::login(stand.proxy.addr())?;
    assert_eq!(client.value("SELECT pg_is_in_recovery()")?, "t");
    stand.wait(&stand.replicas[0], &[("role", "replica"), ("state", "open")])?;
    assert_eq!(client.value("SELECT pg_is_in_recovery()")?, "t");
    Ok(())
}

/// The roles of two names for the primary, and that of a replica, as the proxy sees them.
fn roles_of_names(stand: &Stand) -> Result<[String; 3]> {
    let table = stand.proxy.admin()?.table("SHOW INSTANCES")?;
    let of = |host: &str, port: u16| {
        let row = table.iter().find(|row| row["host"] == host && row["port"] == port.to_string());
        row.map(|row| row["role"].clone()).unwrap_or_default()
    };
    let (primary, replica) = (stand.primary.port(), stand.replicas[0].port());
    Ok([of("127.0.0.1", primary), of("localhost", primary), of("127.0.0.1", replica)])
}

fn wait_roles(stand: &Stand, wanted: [&str; 3]) -> Result<()> {
    let mut seen = Default::default();
    poll::until(SOON, "the roles", || {
        seen = roles_of_names(stand)?;
        Ok((seen == wanted).then_some(()))
    })
    .with_context(|| format!("{wanted:?} is wanted, {seen:?} is there\n{}", stand.proxy.log_tail()))
}

#[test]
fn two_names_of_one_server_are_no_split_brain() -> Result<()> {
    let stand = Stand::auto(1, |config| config)?;
    let config = ProxyConfig::transaction(&stand.primary)
        .role("auto")
        .instance_at("localhost", stand.primary.port(), "auto")
        .instance(&stand.replicas[0], "auto")
        .cluster_setting("reads", "\"any\"")
        .cluster_setting("checkout_timeout", "\"15s\"");
    let mut stand = Stand { proxy: Proxy::start(&config.to_toml())?, ..stand };
    wait_roles(&stand, ["primary", "primary", "replica"])?;
    let mut client = Client::login(stand.proxy.addr())?;
    client.set_deadline(SOON * 2);
    for n in 0..20 {
        client.rows(&format!("INSERT INTO t VALUES ({n})"))?;
        client.rows("SELECT count(*) FROM t")?;
    }
    // The server is another one from now on, by both names.
    stand.primary.restart()?;
    client.rows("INSERT INTO t VALUES (20)")?;
    wait_roles(&stand, ["primary", "primary", "replica"])?;
    client.rows("INSERT INTO t VALUES (21)")?;
    assert_eq!(stand.primary.sql("SELECT count(*) FROM t")?, [["22"]]);
    assert!(!stand.proxy.log().contains("split brain"), "{}", stand.proxy.log_tail());

    // What was promoted instead is another server.
    stand.primary.kill9()?;
    stand.replicas[0].promote()?;
    wait_roles(&stand, ["fenced", "fenced", "primary"])?;
    client.rows("INSERT INTO t VALUES (22)")?;
    stand.primary.restart()?;
    poll::until(SOON, "the old primary to be seen", || {
        let table = stand.proxy.admin()?.table("SHOW INSTANCES")?;
        let old = table.iter().filter(|row| row["port"] == stand.primary.port().to_string());
        let seen = old.filter(|row| row["reason"].contains("timeline 2")).count();
        Ok((seen == 2).then_some(()))
    })?;
    wait_roles(&stand, ["fenced", "fenced", "primary"])
}
