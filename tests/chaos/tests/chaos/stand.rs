//! A primary with its replicas, each behind a fault proxy, and pgherd in front of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use pgherd_harness::faults::{FaultProxy, Set};
use pgherd_harness::poll;
use pgherd_harness::postgres::{APP_USER, Postgres};
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::{Client, Login};

use crate::workload::{Clients, Workload, schema};

/// Longer than any state takes to come.
pub const SOON: Duration = Duration::from_secs(20);
/// A user whose first login makes the first connection of a pool.
pub const VICTIM: &str = "victim";
const VICTIM_PASSWORD: &str = "victimsecret";
/// The password of the harness's user after one round instead of 4096: deriving keys would be most
/// of what the clients do.
const VERIFIER: &str = "SCRAM-SHA-256$1:cGdoZXJkLXRlc3Qtc2FsdA==$ZUCg1kCa31X6qIH00fMQeqs/Hb1Ua2r7+q87q2x3hIw=:NQYgzpglYVdAtskSyGIlf7TbB8JX2mxuqAYNCPUJbxU=";

/// Everything that a case starts.
pub struct Stand {
    // In this order: who connects ends before whom it connects to.
    pub proxy: Proxy,
    /// In front of pgherd, where the clients connect.
    pub front: FaultProxy,
    /// In front of the primary, then of each replica.
    pub faults: Vec<FaultProxy>,
    pub replicas: Vec<Postgres>,
    pub primary: Postgres,
    pub seed: u64,
}

impl Stand {
    /// `change` makes the settings of the proxy.
    pub fn start(
        replicas: usize,
        seed: u64,
        change: impl FnOnce(ProxyConfig) -> ProxyConfig,
    ) -> Result<Self> {
        let primary = primary()?;
        let replicas = (0..replicas).map(|_| primary.streaming_replica());
        let replicas = replicas.collect::<Result<Vec<_>>>()?;
        let servers = std::iter::once(&primary).chain(&replicas);
        let faults = servers.map(|server| FaultProxy::for_postgres(server.addr(), seed));
        let faults = faults.collect::<Result<Vec<_>>>()?;
        let proxy = Proxy::start(&change(config(&faults)).to_toml())?;
        let front = FaultProxy::for_postgres(proxy.addr(), seed)?;
        Ok(Self { proxy, front, faults, replicas, primary, seed })
    }

    /// The usual clients, working.
    pub fn workload(&self) -> Result<Workload> {
        Workload::start(self.front.addr(), &Login::default(), self.seed, Clients::default())
    }

    /// A client of the user whom nobody else uses.
    pub fn victim() -> Login {
        Login::new(VICTIM, VICTIM_PASSWORD, "app")
    }

    /// Waits until no client holds a server connection.
    pub fn wait_all_given_back(&self) -> Result<()> {
        let mut admin = self.proxy.admin()?;
        poll::until(SOON, "the server connections to be given back", || {
            let pools = admin.table("SHOW POOLS")?;
            let held = |pool: &BTreeMap<String, String>| {
                ["cl_active", "cl_waiting", "sv_active"].iter().any(|column| pool[*column] != "0")
            };
            Ok((!pools.iter().any(held)).then_some(()))
        })
    }

    /// Looks at what is committed, beside all proxies. What clients left behind has ended by then.
    pub fn auditor(&self) -> Result<Client> {
        auditor(&self.primary)
    }
}

/// A superuser's session in a server, when all transactions of the application have ended there.
pub fn auditor(server: &Postgres) -> Result<Client> {
    settled(server.superuser("app")?)
}

/// The same with a session that there is.
pub fn settled(mut superuser: Client) -> Result<Client> {
    let open = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename IN ('{APP_USER}', '{VICTIM}') \
         AND xact_start IS NOT NULL"
    );
    poll::until(SOON, "the transactions that clients left to end", || {
        Ok((superuser.value(&open)? == "0").then_some(()))
    })?;
    Ok(superuser)
}

/// A primary with the tables of the clients.
pub fn primary() -> Result<Postgres> {
    let primary = Postgres::start()?;
    prepare(&primary)?;
    Ok(primary)
}

/// Makes the tables of the clients.
pub fn prepare(primary: &Postgres) -> Result<()> {
    primary.sql(&tables()).map(drop)
}

/// The statements that do so.
pub fn tables() -> String {
    format!("CREATE ROLE {VICTIM} LOGIN PASSWORD '{VICTIM_PASSWORD}'; ") + &schema()
}

/// A proxy's configuration for instances behind these fault proxies, the primary first.
pub fn config(faults: &[FaultProxy]) -> ProxyConfig {
    plain_config(faults.iter().map(FaultProxy::addr))
}

/// A proxy's configuration for instances at these addresses, the primary first.
pub fn plain_config(addresses: impl IntoIterator<Item = SocketAddr>) -> ProxyConfig {
    let mut addresses = addresses.into_iter();
    let primary = addresses.next().expect("there is a primary");
    let config = ProxyConfig::for_address("transaction", &primary.ip().to_string(), primary.port())
            // So that the fault proxy sees the messages.
            .server_tls("disable", "")
            .verifier(APP_USER, VERIFIER)
            .user(VICTIM, VICTIM_PASSWORD);
    let replicas: Vec<SocketAddr> = addresses.collect();
    let config = replicas.iter().fold(config, |config, replica| {
        config.instance_at(&replica.ip().to_string(), replica.port(), "replica")
    });
    if replicas.is_empty() { config } else { config.cluster_setting("reads", "\"replicas\"") }
}

/// Makes this what is wrong with several instances.
pub fn apply<'a>(faults: impl IntoIterator<Item = &'a FaultProxy>, set: &Set) {
    faults.into_iter().for_each(|faults| faults.apply(set));
}
