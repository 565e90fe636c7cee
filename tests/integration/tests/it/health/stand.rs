//! A primary with replicas and a proxy in front of them, and looks at how it sees them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};

/// Longer than any state takes to come.
pub const SOON: Duration = Duration::from_secs(10);

/// A row of a table of the admin database.
pub type Row = BTreeMap<String, String>;

/// The servers and the proxy.
pub struct Stand {
    pub primary: Postgres,
    pub replicas: Vec<Postgres>,
    pub proxy: Proxy,
}

impl Stand {
    /// With so many replicas, and roles as they are; `change` makes the settings.
    pub fn start(replicas: usize, change: impl FnOnce(ProxyConfig) -> ProxyConfig) -> Result<Self> {
        Self::with_roles(replicas, ["primary", "replica"], change)
    }

    /// All of them with `role = "auto"`.
    pub fn auto(replicas: usize, change: impl FnOnce(ProxyConfig) -> ProxyConfig) -> Result<Self> {
        Self::with_roles(replicas, ["auto", "auto"], change)
    }

    fn with_roles(
        replicas: usize,
        [of_primary, of_replica]: [&'static str; 2],
        change: impl FnOnce(ProxyConfig) -> ProxyConfig,
    ) -> Result<Self> {
        let primary = Postgres::start()?;
        primary.sql("CREATE TABLE t (n int); GRANT ALL ON t TO app")?;
        let replicas =
            (0..replicas).map(|_| primary.streaming_replica()).collect::<Result<Vec<_>>>()?;
        let mut config = ProxyConfig::transaction(&primary).role(of_primary);
        for replica in &replicas {
            config = config.instance(replica, of_replica);
        }
        let config = change(config.cluster_setting("reads", "\"replicas\""));
        let proxy = Proxy::start(&config.to_toml())?;
        Ok(Self { primary, replicas, proxy })
    }

    /// How the proxy sees an instance now.
    pub fn instance(&self, server: &Postgres) -> Result<Row> {
        let table = self.proxy.admin()?.table("SHOW INSTANCES")?;
        let row = table.iter().find(|row| row["port"] == server.port().to_string());
        row.cloned().with_context(|| format!("not listed: {table:?}"))
    }

    /// Waits until columns of an instance have these values; how long that took.
    pub fn wait(&self, server: &Postgres, wanted: &[(&str, &str)]) -> Result<Duration> {
        let begun = Instant::now();
        let mut seen = Row::new();
        poll::until(SOON, "the state of an instance", || {
            seen = self.instance(server)?;
            Ok(wanted.iter().all(|(column, value)| seen[*column] == *value).then_some(()))
        })
        .with_context(|| format!("{wanted:?} is wanted, {seen:?} is there\n{}", self.log()))?;
        Ok(begun.elapsed())
    }

    /// Waits until every instance has been checked and is open.
    pub fn wait_healthy(&self) -> Result<()> {
        self.wait(&self.primary, &[("role", "primary"), ("state", "open"), ("timeline", "1")])?;
        for replica in &self.replicas {
            self.wait(replica, &[("role", "replica"), ("state", "open"), ("timeline", "1")])?;
        }
        Ok(())
    }

    /// The bans that are shown.
    pub fn bans(&self) -> Result<Vec<Row>> {
        self.proxy.admin()?.table("SHOW BANS")
    }

    /// The only ban.
    pub fn ban(&self) -> Result<Row> {
        let mut bans = self.bans()?;
        ensure!(bans.len() == 1, "one ban is expected: {bans:?}");
        Ok(bans.remove(0))
    }

    /// Runs a command of the admin database.
    pub fn command(&self, command: &str) -> Result<()> {
        self.proxy.admin()?.rows(command).map(drop)
    }

    fn log(&self) -> String {
        self.proxy.log_tail()
    }
}
