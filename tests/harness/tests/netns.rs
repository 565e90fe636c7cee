//! The harness's promises about network namespaces.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Result;
use pgherd_harness::netns::Network;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::raw::Client;

const SHORT: Duration = Duration::from_millis(300);
const WELL_SHORT_OF_FOREVER: Duration = Duration::from_secs(10);

#[test]
fn a_server_in_a_namespace_is_reached_cut_off_reset_and_healed() -> Result<()> {
    let network = Network::new()?;
    let namespace = network.namespace("db")?;
    let postgres = Postgres::builder().namespace(&namespace).start()?;
    assert_eq!(postgres.addr().ip(), namespace.addr());
    let connect = |timeout| TcpStream::connect_timeout(&postgres.addr(), timeout);
    let mut client = Client::login(postgres.addr())?;
    assert_eq!(client.value("SELECT 1")?, "1");

    namespace.drop_packets(network.addr())?;
    assert_eq!(connect(SHORT).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    namespace.heal()?;
    assert_eq!(client.value("SELECT 2")?, "2", "what was open has only been silent");

    namespace.reset(network.addr())?;
    assert!(client.value("SELECT 3").is_err());
    namespace.heal()?;
    assert_eq!(Client::login(postgres.addr())?.value("SELECT 4")?, "4");
    Ok(())
}

#[test]
fn namespaces_reach_each_other_and_a_replica_streams_between_two() -> Result<()> {
    let network = Network::new()?;
    let (first, second) = (network.namespace("first")?, network.namespace("second")?);
    let primary = Postgres::builder().namespace(&first).start()?;
    let replica = primary.streaming_replica_in(&second)?;
    assert_eq!(replica.addr().ip(), second.addr());
    assert_eq!(replica.sql("SELECT pg_is_in_recovery()")?, [["t"]]);

    // What a process in one namespace connects to is refused there alone.
    second.reset_port(primary.addr())?;
    let mut nc = second.command(std::path::Path::new("bash"));
    let [host, port] = [primary.addr().ip().to_string(), primary.port().to_string()];
    nc.args(["-c", &format!("exec 3<>/dev/tcp/{host}/{port}")]);
    assert!(!nc.status()?.success());
    assert_eq!(Client::login(primary.addr())?.value("SELECT 1")?, "1");
    Ok(())
}

#[test]
fn the_test_itself_is_on_the_network() -> Result<()> {
    let network = Network::new()?;
    let listener = TcpListener::bind((network.addr(), 0))?;
    let addr = listener.local_addr()?;
    let caller = network.namespace("caller")?;
    let mut child = caller.command(std::path::Path::new("bash"));
    child.args(["-c", &format!("echo hello >/dev/tcp/{}/{}", addr.ip(), addr.port())]);
    let mut child = child.spawn()?;
    let (mut stream, peer) = listener.accept()?;
    stream.set_read_timeout(Some(WELL_SHORT_OF_FOREVER))?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    assert!(child.wait()?.success());
    assert_eq!(said, "hello\n");
    assert_eq!(peer.ip(), caller.addr());
    Ok(())
}
