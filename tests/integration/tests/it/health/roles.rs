//! Who is the primary, through promotions and returns.

use std::time::Duration;

use anyhow::Result;
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
