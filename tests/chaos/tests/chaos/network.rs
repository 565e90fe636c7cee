//! Faults of the network itself, between namespaces: dropped packets, resets, a cable.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use pgherd_harness::netns::{Namespace, Network};
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::Proxy;
use pgherd_harness::raw::Login;

use crate::report::{Limits, May, judge};
use crate::stand::{auditor, plain_config, prepare};
use crate::workload::{Clients, Workload};

/// How long a fault lasts.
const LASTS: Duration = Duration::from_millis(1200);
/// TCP sends again when as much time has passed again as it was waiting already.
const WITH_RETRANSMISSION: Duration = Duration::from_millis(2 * 1200 + 200);

/// A server and a proxy, each alone in its namespace; the clients are outside.
struct Wire {
    proxy: Proxy,
    of_proxy: Namespace,
    primary: Postgres,
    of_primary: Namespace,
    network: Network,
    seed: u64,
}

impl Wire {
    fn start() -> Result<Self> {
        let seed = crate::seed();
        let network = Network::new()?;
        let (of_primary, of_proxy) = (network.namespace("primary")?, network.namespace("proxy")?);
        let primary = Postgres::builder().namespace(&of_primary).start()?;
        prepare(&primary)?;
        let toml = plain_config([primary.addr()]).to_toml();
        let proxy = Proxy::builder().config(&toml).namespace(&of_proxy).start()?;
        Ok(Self { proxy, of_proxy, primary, of_primary, network, seed })
    }

    fn run(
        failures: usize,
        stall: Duration,
        strike: impl FnOnce(&Self) -> Result<()>,
        heal: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        let wire = Self::start()?;
        let addr = wire.proxy.addr();
        let workload = Workload::start(addr, &Login::default(), wire.seed, Clients::default())?;
        strike(&wire)?;
        std::thread::sleep(LASTS);
        heal(&wire)?;
        let limits = Limits { failures, stall: stall + Duration::from_millis(500) };
        let back = WITH_RETRANSMISSION - LASTS + Duration::from_millis(500);
        let may = May { back, ..May::see(limits, limits) };
        judge(workload, Instant::now(), may, || auditor(&wire.primary)).map(drop)
    }

    fn primary(&self) -> IpAddr {
        self.primary.addr().ip()
    }
}

#[test]
fn packets_to_the_server_are_dropped() -> Result<()> {
    let strike = |wire: &Wire| wire.of_proxy.drop_packets(wire.primary());
    Wire::run(0, WITH_RETRANSMISSION, strike, |wire| wire.of_proxy.heal())
}

#[test]
fn packets_of_clients_are_dropped() -> Result<()> {
    let strike = |wire: &Wire| wire.of_proxy.drop_packets(wire.network.addr());
    Wire::run(0, WITH_RETRANSMISSION, strike, |wire| wire.of_proxy.heal())
}

#[test]
fn connections_to_the_server_are_reset() -> Result<()> {
    let strike = |wire: &Wire| wire.of_proxy.reset(wire.primary());
    // Nothing tells the proxy of an idle connection that is gone: each costs whoever uses it first.
    Wire::run(4, LASTS, strike, |wire| wire.of_proxy.heal())
}

#[test]
fn the_servers_cable_is_out() -> Result<()> {
    let strike = |wire: &Wire| wire.of_primary.plug(false);
    Wire::run(0, WITH_RETRANSMISSION, strike, |wire| wire.of_primary.plug(true))
}
