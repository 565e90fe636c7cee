//! Everything that the demo starts, in the order in which it is started.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use pgherd_harness::control::Control;
use pgherd_harness::haproxy::HaProxy;
use pgherd_harness::poll;
use pgherd_harness::postgres::{APP_PASSWORD, APP_USER, DATABASE, Postgres};
use pgherd_harness::proxy::{ADMIN_PASSWORD, ADMIN_USER, Proxy};
use pgherd_harness::raw::{Client, Login};
use pgherd_harness::scratch::Scratch;
use pgherd_harness::sharded::ShardedCluster;
use serde_json::{Value, json};

use crate::progress::Progress;
use crate::traces::Traces;
use crate::{pgbench, ports};

/// How many steps [`Fleet::start`] takes.
pub const STEPS: usize = 8;

/// The sharded cluster.
pub const SHOP: &str = "shop";

/// The first choice of ports.
const BALANCER: u16 = 6432;
const DASHBOARD: u16 = 8080;
const PROXIES: [(&str, u16, u16); 2] = [("proxy-1", 6433, 9931), ("proxy-2", 6434, 9932)];

/// Longest wait for news to arrive.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of each log is shown when something fails.
const LOG_LINES: usize = 12;
/// Postgres's severities that are worth showing then.
const SERIOUS: [&str; 4] = [" WARNING: ", " ERROR: ", " FATAL: ", " PANIC: "];

/// The demo's processes. Dropped from top to bottom, so that nothing loses what it stands on.
#[derive(Debug)]
pub struct Fleet {
    balancer: Option<HaProxy>,
    proxies: Vec<Member>,
    control: Option<Control>,
    shop: Option<ShardedCluster>,
    replica: Option<Postgres>,
    primary: Option<Postgres>,
    control_database: Option<Postgres>,
    /// For the REST calls.
    runtime: tokio::runtime::Runtime,
    /// The proxies' caches.
    scratch: Scratch,
    traces: Traces,
}

/// A proxy of the fleet.
#[derive(Debug)]
pub struct Member {
    /// Its id in the fleet.
    pub id: &'static str,
    /// The process.
    pub proxy: Proxy,
    /// Its end was told.
    ended: bool,
}

// === impl Fleet ===

impl Fleet {
    /// Nothing yet but a scratch directory.
    pub fn new() -> Result<Self> {
        let traces = Traces::watch()?;
        Ok(Self {
            balancer: None,
            proxies: Vec::new(),
            control: None,
            shop: None,
            replica: None,
            primary: None,
            control_database: None,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            scratch: Scratch::new("demo")?,
            traces,
        })
    }

    /// The directories of all servers, as a pattern.
    pub fn pattern(&self) -> String {
        self.traces.pattern()
    }

    /// Where applications connect, once that is up.
    pub fn balancer(&self) -> Result<&HaProxy> {
        self.balancer.as_ref().context("HAProxy has not been started")
    }

    /// The control plane, once it is up.
    pub fn control(&self) -> Result<&Control> {
        self.control.as_ref().context("the control plane has not been started")
    }

    /// The primary and the replica, once they are up.
    pub fn servers(&self) -> Result<(&Postgres, &Postgres)> {
        let servers = self.primary.as_ref().zip(self.replica.as_ref());
        servers.context("the application's servers have not been started")
    }

    /// The sharded cluster, if there is one.
    pub fn has_shop(&self) -> bool {
        self.shop.is_some()
    }

    /// The proxies that are up.
    pub fn proxies(&self) -> &[Member] {
        &self.proxies
    }

    /// Starts everything and makes the cluster `app`.
    pub fn start(&mut self, progress: &mut Progress<'_>, scale: u32) -> Result<()> {
        let database = progress.step("Postgres for the control plane", || {
            let postgres = Postgres::start()?;
            postgres.create_database("pgherd")?;
            Ok(postgres)
        })?;
        let database = self.control_database.insert(database);

        let primary = progress.step("Postgres for the application: a primary", Postgres::start)?;
        let primary = self.primary.insert(primary);
        progress.step(&format!("pgbench's tables, scale {scale}"), || {
            pgbench::load(primary.install(), primary.port(), scale)
        })?;
        let replica = progress.step("a replica, streaming from the primary", || {
            let replica = primary.streaming_replica()?;
            wait_for_replay(primary, &replica)?;
            Ok(replica)
        })?;
        let instances = json!([
            {"host": "127.0.0.1", "port": primary.port(), "role": "primary"},
            {"host": "127.0.0.1", "port": replica.port(), "role": "replica"},
        ]);
        self.replica = Some(replica);

        let control = progress.step("the control plane", || {
            let listen = format!("127.0.0.1:{}", ports::prefer(DASHBOARD)?);
            Control::start_at(&database.url("pgherd"), &listen)
        })?;
        self.control = Some(control);
        progress.step("two proxies that know only the control plane", || {
            PROXIES.into_iter().try_for_each(|choice| self.start_proxy(choice))
        })?;
        progress.step("the cluster \"app\", made over REST, on both proxies", || {
            self.create_cluster(&instances)
        })?;
        let balancer = progress.step("HAProxy in front of the proxies", || {
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::prefer(BALANCER)?));
            let backends: Vec<_> =
                self.proxies.iter().map(|member| member.proxy.backend()).collect();
            let balancer = HaProxy::start_at(addr, &backends)?;
            wait_for_service("HAProxy", balancer.addr(), DATABASE)?;
            Ok(balancer)
        })?;
        self.balancer = Some(balancer);
        Ok(())
    }

    /// Adds the cluster [`SHOP`].
    pub fn add_shards(&mut self, progress: &mut Progress<'_>, shards: usize) -> Result<()> {
        let shop = progress.step(&format!("the cluster {SHOP:?} with {shards} shards"), || {
            let shop = ShardedCluster::start(shards)?;
            let mut document = shop.config().to_cluster_json();
            document["name"] = SHOP.into();
            let rest = self.control()?.rest();
            self.runtime.block_on(rest.post("/api/v1/clusters", &document))?.success()?;
            for member in &self.proxies {
                wait_for_service(member.id, member.proxy.addr(), SHOP)?;
            }
            Ok(shop)
        })?;
        self.shop = Some(shop);
        Ok(())
    }

    /// How many transactions each proxy has reported to the control plane, once all
    /// `transactions` of them are in; nothing when that takes long.
    pub fn shares(&self, transactions: u64) -> Option<Vec<(String, u64)>> {
        let rest = self.control().ok()?.rest();
        poll::until(Duration::from_secs(10), "statistics", || {
            let answer = self.runtime.block_on(rest.get("/api/v1/proxies"))?.success()?;
            let Some(proxies) = answer.body["proxies"].as_array() else {
                bail!("the control plane's answer has no list of proxies: {}", answer.body);
            };
            let shares: Vec<_> = proxies
                .iter()
                .filter_map(|proxy| {
                    let count = proxy["statistics"]["transactions"].as_u64()?;
                    Some((proxy["id"].as_str()?.to_owned(), count))
                })
                .collect();
            let all = shares.iter().map(|(_, count)| count).sum::<u64>();
            Ok((all >= transactions).then_some(shares))
        })
        .ok()
    }

    /// Says which proxies have ended since the last call: the user may be trying that out.
    pub fn report_ended(&mut self) {
        for member in &mut self.proxies {
            if !member.ended
                && let Ok(Some(status)) = member.proxy.process().try_wait()
            {
                member.ended = true;
                println!("{} has ended: {status}", member.id);
            }
        }
    }

    /// Prints the last lines of each log; of Postgres's only what went wrong.
    pub fn print_logs(&self) {
        let balancer = self.balancer.iter().map(|balancer| ("HAProxy", balancer.log()));
        let proxies = self.proxies.iter().map(|member| (member.id, member.proxy.log()));
        let control = self.control.iter().map(|control| ("the control plane", control.log()));
        for (name, log) in balancer.chain(proxies).chain(control) {
            print_last(name, log.lines());
        }
        let servers = [
            ("the application's primary", &self.primary),
            ("the application's replica", &self.replica),
            ("the control plane's Postgres", &self.control_database),
        ];
        for (name, server) in servers {
            let log = server.as_ref().map(Postgres::log).unwrap_or_default();
            let bad = |line: &&str| SERIOUS.iter().any(|severity| line.contains(severity));
            print_last(name, log.lines().filter(bad));
        }
    }

    fn start_proxy(&mut self, (id, clients, metrics): (&'static str, u16, u16)) -> Result<()> {
        let config = proxy_config(ports::prefer(clients)?, ports::prefer(metrics)?);
        let cache = self.scratch.path().join(id);
        let control = self.control()?;
        let proxy = Proxy::builder().config(&config).control_plane(control, id, &cache).start();
        let proxy = proxy.with_context(|| id.to_owned())?;
        self.proxies.push(Member { id, proxy, ended: false });
        Ok(())
    }

    fn create_cluster(&self, instances: &Value) -> Result<()> {
        let cluster = json!({
            "name": DATABASE,
            "pool_mode": "transaction",
            "users": [{"name": APP_USER, "password": APP_PASSWORD}],
            "shards": [{"instances": instances}],
        });
        let rest = self.control()?.rest();
        self.runtime.block_on(rest.post("/api/v1/clusters", &cluster))?.success()?;
        let mut members = self.proxies.iter();
        members.try_for_each(|member| wait_for_service(member.id, member.proxy.addr(), DATABASE))
    }
}

fn print_last<'a>(name: &str, lines: impl Iterator<Item = &'a str>) {
    let lines: Vec<&str> = lines.collect();
    if !lines.is_empty() {
        eprintln!("--- the last lines of {name}");
    }
    for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
        eprintln!("{line}");
    }
}

/// What is a proxy's own; its clusters come from the control plane.
fn proxy_config(clients: u16, metrics: u16) -> String {
    format!(
        "[proxy]
listen = [\"127.0.0.1:{clients}\"]
shutdown_timeout = \"5s\"

[admin]
users = [{{ name = \"{ADMIN_USER}\", password = \"{ADMIN_PASSWORD}\" }}]

[metrics]
listen = \"127.0.0.1:{metrics}\"
"
    )
}

/// Until an application can log in and read there.
fn wait_for_service(name: &str, addr: SocketAddr, database: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let login = Login::default().database(database);
        let answer = Client::login_as(addr, &login).and_then(|mut client| client.value("SELECT 1"));
        match answer {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("{name} serves nothing after {PATIENCE:?}")));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Until the replica has replayed what the primary has written by now.
pub fn wait_for_replay(primary: &Postgres, replica: &Postgres) -> Result<()> {
    let written = value(primary, "SELECT pg_current_wal_lsn()")?;
    let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
    poll::until(PATIENCE, "the replica replays what the primary wrote", || {
        Ok((value(replica, &replayed)? == "t").then_some(()))
    })
}

/// The one value that a query gives, as the superuser, past the proxies.
pub fn value(postgres: &Postgres, sql: &str) -> Result<String> {
    postgres.superuser(DATABASE)?.value(sql)
}
