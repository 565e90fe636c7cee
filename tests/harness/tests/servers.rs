//! The harness's own promises about the servers it starts.

use std::time::Duration;

use anyhow::Result;
use pgherd_harness::haproxy::HaProxy;
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::raw::{Client, Login};

#[test]
fn a_server_is_ready_when_start_returns_and_leaves_nothing_behind() -> Result<()> {
    let postgres = Postgres::start()?;
    let mut client = Client::login(postgres.addr())?;
    assert_eq!(client.rows("SELECT current_user, current_database()")?, [["app", "app"]]);
    assert_eq!(client.parameter("TimeZone").as_deref(), Some("UTC"));
    let refused = Client::login_as(postgres.addr(), &Login::default().password("wrong"));
    assert!(refused.unwrap_err().to_string().contains("28P01"));
    let (pid, data) = (postgres.pid(), postgres.data_directory());
    drop(postgres);
    assert!(!data.exists());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    Ok(())
}

#[test]
fn a_crashed_server_comes_back_with_its_data() -> Result<()> {
    let mut postgres = Postgres::start()?;
    let port = postgres.port();
    postgres.sql("CREATE TABLE t (n int); INSERT INTO t VALUES (7)")?;
    postgres.kill9()?;
    assert!(Client::login(postgres.addr()).is_err());
    postgres.restart()?;
    assert_eq!((postgres.port(), postgres.sql("SELECT n FROM t")?), (port, vec![vec!["7".into()]]));
    Ok(())
}

#[test]
fn a_replica_follows_its_primary_and_can_be_promoted() -> Result<()> {
    let primary = Postgres::start()?;
    let replica = primary.streaming_replica()?;
    assert_eq!(replica.sql("SELECT pg_is_in_recovery()")?, [["t"]]);
    primary.sql("CREATE TABLE t (n int)")?;
    poll::until(Duration::from_secs(10), "the table on the replica", || {
        let found = replica.sql("SELECT 1 FROM pg_class WHERE relname = 't'")?;
        Ok((!found.is_empty()).then_some(()))
    })?;
    replica.promote()?;
    replica.sql("INSERT INTO t VALUES (1)")?;
    Ok(())
}

#[test]
fn a_stopped_server_is_silent_and_goes_on_afterwards() -> Result<()> {
    let postgres = Postgres::start()?;
    let mut client = Client::login(postgres.addr())?;
    client.set_deadline(Duration::from_millis(200));
    postgres.sigstop()?;
    assert!(client.simple("SELECT 1").is_err());
    postgres.sigcont()?;
    client.set_deadline(Duration::from_secs(10));
    assert_eq!(client.until_ready(1)?.len(), 4);
    Ok(())
}

#[test]
fn haproxy_relays() -> Result<()> {
    let postgres = Postgres::start()?;
    let haproxy = HaProxy::start(&[postgres.addr().into()])?;
    assert_eq!(Client::login(haproxy.addr())?.value("SELECT 42")?, "42");
    Ok(())
}
