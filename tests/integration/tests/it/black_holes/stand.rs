//! A primary, a replica and a proxy, each in a network namespace, with no limit but those asked for.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pgherd_harness::netns::{Namespace, Network};
use pgherd_harness::poll;
use pgherd_harness::postgres::{APP_USER, Postgres};
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::Client;

use super::SLOW;
use crate::beside::Beside;

/// Longer than any state takes to come.
pub const SOON: Duration = Duration::from_secs(30);

/// All that can end a query, switched off. The roles are as configured: nobody looks.
const OFF: [(&str, &str); 5] = [
    ("health_check_interval", "0"),
    ("tcp_keepalive_idle", "0"),
    ("tcp_user_timeout", "0"),
    ("query_timeout", "0"),
    ("stall_timeout", "0"),
];

pub struct Stand {
    // In the order in which they end.
    pub proxy: Proxy,
    replica: Postgres,
    pub primary: Postgres,
    pub of_proxy: Namespace,
    pub of_primary: Namespace,
    _network: Network,
}

impl Stand {
    /// With these settings beside [`OFF`].
    pub fn start(settings: &[(&str, &str)]) -> Result<Self> {
        let network = Network::new()?;
        let (of_primary, of_proxy) = (network.namespace("primary")?, network.namespace("proxy")?);
        let primary = Postgres::builder().namespace(&of_primary).start()?;
        primary.sql(&format!("CREATE TABLE t AS SELECT 0 AS n; GRANT ALL ON t TO {APP_USER}"))?;
        let replica = primary.streaming_replica_in(&network.namespace("replica")?)?;
        let off = OFF.iter().filter(|(key, _)| !settings.iter().any(|(name, _)| name == key));
        let config = off.chain(settings).fold(
            ProxyConfig::transaction(&primary)
                .replica(&replica)
                .cluster_setting("reads", "\"replicas\""),
            |config, (key, value)| match value.parse::<u32>() {
                Ok(_) if key.ends_with("count") => config.cluster_setting(key, value),
                Ok(_) | Err(_) => config.cluster_setting(key, &format!("{value:?}")),
            },
        );
        let proxy = Proxy::builder().config(&config.to_toml()).namespace(&of_proxy).start()?;
        Ok(Self { proxy, replica, primary, of_proxy, of_primary, _network: network })
    }

    pub fn client(&self) -> Result<Client> {
        Client::login(self.proxy.addr())
    }

    /// Somebody who works on the replica, past pgherd.
    pub fn beside(&self) -> Result<Beside> {
        Beside::start(self.replica.addr())
    }

    pub fn drop_packets(&self) -> Result<()> {
        self.of_proxy.drop_packets(self.primary.addr().ip())
    }

    pub fn freeze(&self) -> Result<()> {
        self.primary.sigstop()
    }

    /// Undoes both.
    pub fn mend(&self) -> Result<()> {
        self.primary.sigcont()?;
        self.of_proxy.heal()
    }

    /// Waits until Postgres is at work on this, as seen from outside of the proxy.
    pub fn wait_running(&self, sql: &str) -> Result<()> {
        let mut superuser = self.primary.superuser("app")?;
        let running = format!(
            "SELECT FROM pg_stat_activity WHERE query = '{sql}' AND wait_event = 'PgSleep'"
        );
        poll::until(SOON, "the query to run", || {
            Ok((!superuser.rows(&running)?.is_empty()).then_some(()))
        })?;
        // It runs before the kernel has acknowledged it.
        poll::until(SOON, "all that was sent to be acknowledged", || {
            let waiting = self.of_proxy.unacknowledged_by(self.primary.addr())?;
            Ok((waiting == 0).then_some(()))
        })
    }

    /// The proxy's end of the connection on which a query runs that looks like this.
    pub fn connection_of(&self, like: &str) -> Result<SocketAddr> {
        let sql = format!(
            "SELECT host(client_addr), client_port FROM pg_stat_activity \
             WHERE query LIKE '%{like}%' AND usename = '{APP_USER}' AND state = 'active'"
        );
        let rows = self.primary.sql(&sql)?;
        ensure!(rows.len() == 1, "one is expected: {rows:?}");
        let row = rows.first().context("no row")?;
        Ok(row.join(":").parse()?)
    }

    /// Waits until the proxy's kernel knows no connection to a server; when that was.
    pub fn wait_until_no_connection(&self, server: SocketAddr) -> Result<Instant> {
        poll::until(SOON, "the kernel to give the connection up", || {
            let none = self.of_proxy.connections_to(server)?.is_empty();
            Ok(none.then(Instant::now))
        })
    }

    /// A query that takes longer than every limit, on the instance that is well.
    pub fn slow_query(&self) -> Result<Slow> {
        self.slow("replica", "t")
    }

    /// The same on the other one.
    pub fn slow_query_on_the_primary(&self) -> Result<Slow> {
        self.slow("primary", "f")
    }

    fn slow(&self, role: &str, in_recovery: &'static str) -> Result<Slow> {
        let mut client = self.client()?;
        client.set_deadline(SLOW + SOON);
        let sql = format!(
            "/* pgherd: role={role} */ SELECT pg_is_in_recovery() FROM pg_sleep({})",
            SLOW.as_secs()
        );
        let thread = std::thread::spawn(move || client.value(&sql));
        Ok(Slow { thread, in_recovery })
    }
}

/// A client that waits for a slow query.
pub struct Slow {
    thread: JoinHandle<Result<String>>,
    in_recovery: &'static str,
}

impl Slow {
    /// Waits for its answer, which must be one, from the instance it was meant for.
    pub fn end(self) -> Result<()> {
        let answer = self.thread.join().expect("its thread does not panic");
        let answer = answer.context("a slow query on a healthy instance")?;
        ensure!(answer == self.in_recovery, "it ran elsewhere: {answer}");
        Ok(())
    }
}
