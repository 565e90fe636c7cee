//! Three shards with their replicas behind fault proxies, and what must be true of them at the end.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use pgherd_harness::faults::FaultProxy;
use pgherd_harness::poll;
use pgherd_harness::postgres::{APP_USER, Postgres};
use pgherd_harness::proxy::Proxy;
use pgherd_harness::raw::Client;
use pgherd_harness::sharded::ShardedCluster;

use super::clients::Told;
use crate::stand::SOON;
use crate::workload::Fate;

pub const SHARDS: usize = 3;
/// How many accounts there are, and what is in each at first.
pub const ACCOUNTS: i64 = 60;
const INITIAL: i64 = 1000;

const SCHEMA: &str = "
    CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL);
    INSERT INTO accounts SELECT i, 1000 FROM generate_series(1, 60) i;
    CREATE TABLE ledger (account bigint, id bigint, amount bigint NOT NULL,
                         PRIMARY KEY (account, id));";

/// A running bank.
pub struct Bank {
    // In this order: who connects ends before whom it connects to.
    pub proxies: Vec<Proxy>,
    /// Of each shard before its primary, then before its replica.
    faults: Vec<[FaultProxy; 2]>,
    pub replicas: Vec<Postgres>,
    pub cluster: ShardedCluster,
    /// Whose replica is the primary now.
    failed_over: [bool; SHARDS],
    /// The accounts of each shard.
    pub accounts: Vec<Vec<i64>>,
}

impl Bank {
    pub fn open(seed: u64, proxies: usize) -> Result<Self> {
        let mut cluster = ShardedCluster::builder(SHARDS)
            .servers(SHARDS)
            .setting("max_connections", "60")
            .schema(SCHEMA)
            .sharded("accounts", "id")
            .sharded("ledger", "account")
            .start()?;
        let replicas = cluster.replicas()?;
        for server in cluster.servers() {
            // What is committed a replica has.
            server.sql("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'")?;
            server.sql("SELECT pg_reload_conf()")?;
            poll::until(SOON, "a synchronous replica", || {
                let sql = "SELECT FROM pg_stat_replication WHERE sync_state = 'quorum'";
                Ok((!server.sql(sql)?.is_empty()).then_some(()))
            })?;
        }
        let mut config = cluster
            .config_with(&replicas)
            .server_tls("disable", "")
            .cluster_setting("checkout_timeout", "\"15s\"")
            .to_toml();
        let mut faults = Vec::new();
        for (shard, replica) in replicas.iter().enumerate() {
            let pair = [cluster.server(shard), replica].map(|server| {
                let proxy = FaultProxy::for_postgres(server.addr(), seed)?;
                let (port, named) = (server.port(), proxy.addr().port());
                config = config.replace(&format!("port = {port},"), &format!("port = {named},"));
                anyhow::Ok(proxy)
            });
            let [primary, replica] = pair;
            faults.push([primary?, replica?]);
        }
        for role in ["primary", "replica"] {
            config = config.replace(&format!("role = {role:?}"), "role = \"auto\"");
        }
        let proxies = (0..proxies).map(|_| Proxy::start(&config)).collect::<Result<Vec<_>>>()?;
        let mut accounts = Vec::new();
        for shard in 0..SHARDS {
            let ids = cluster.shard(shard)?.rows("SELECT id FROM accounts ORDER BY id")?;
            let ids = ids.iter().flatten().map(|id| Ok(id.parse()?));
            accounts.push(ids.collect::<Result<Vec<i64>>>()?);
        }
        let failed_over = [false; SHARDS];
        Ok(Self { proxies, faults, replicas, cluster, failed_over, accounts })
    }

    /// Those that were primaries at the start.
    pub fn primaries(&mut self) -> &mut [Postgres] {
        self.cluster.servers()
    }

    /// What stands before the instances of a shard.
    pub fn faults(&self, shard: usize) -> impl Iterator<Item = &FaultProxy> {
        self.faults[shard].iter()
    }

    /// From now on the replica is the primary of the shard.
    pub fn has_failed_over(&mut self, shard: usize) {
        self.failed_over[shard] = true;
    }

    /// The server that is the primary of a shard now.
    fn primary(&self, shard: usize) -> &Postgres {
        if self.failed_over[shard] { &self.replicas[shard] } else { self.cluster.server(shard) }
    }

    fn superuser(&self, shard: usize) -> Result<Client> {
        self.primary(shard).superuser(&self.cluster.database(shard))
    }

    /// Waits until nothing is open or prepared on any shard.
    pub fn settle(&self) -> Result<()> {
        let open = format!(
            "SELECT (SELECT count(*) FROM pg_prepared_xacts), (SELECT count(*) \
             FROM pg_stat_activity WHERE usename = '{APP_USER}' AND xact_start IS NOT NULL \
             AND backend_type = 'client backend' AND application_name NOT LIKE 'pgherd%')"
        );
        for shard in 0..SHARDS {
            let mut client = self.superuser(shard)?;
            poll::until(SOON, "nothing to be open or prepared", || {
                Ok((client.rows(&open)? == [["0", "0"]]).then_some(()))
            })
            .with_context(|| format!("shard {shard}"))?;
        }
        Ok(())
    }

    /// Waits until nothing is prepared any more that is now, while others go on.
    pub fn settle_old(&self) -> Result<()> {
        let list = "SELECT gid FROM pg_prepared_xacts";
        for shard in 0..SHARDS {
            let mut client = self.superuser(shard)?;
            let now = client.rows(list)?;
            poll::until(SOON, "what is prepared to be finished", || {
                let left = client.rows(list)?;
                Ok((!now.iter().any(|gid| left.contains(gid))).then_some(()))
            })?;
        }
        Ok(())
    }

    /// That no money has come or gone, and each transfer is whole and as its client was told.
    pub fn audit(&self, told: &Told) -> Result<()> {
        let (mut sum, mut count) = (0, 0);
        let mut transfers: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
        for shard in 0..SHARDS {
            let mut client = self.superuser(shard)?;
            let sums = client.rows("SELECT sum(balance), count(*) FROM accounts")?;
            sum += sums[0][0].parse::<i64>()?;
            count += sums[0][1].parse::<i64>()?;
            let wrong = client.rows(&format!(
                "SELECT a.id FROM accounts a LEFT JOIN ledger l ON l.account = a.id \
                 GROUP BY a.id HAVING a.balance <> {INITIAL} + coalesce(sum(l.amount), 0)"
            ))?;
            ensure!(wrong.is_empty(), "shard {shard}: balances that nothing explains: {wrong:?}");
            for row in client.rows("SELECT id, amount FROM ledger")? {
                transfers.entry(row[0].parse()?).or_default().push(row[1].parse()?);
            }
        }
        ensure!((sum, count) == (ACCOUNTS * INITIAL, ACCOUNTS), "the bank has {sum} in {count}");
        let (mut committed, mut unknown) = (0, 0);
        for (id, fate) in told {
            let rows = transfers.remove(id).unwrap_or_default();
            ensure!(
                rows.is_empty() || rows.len() == 2 && rows.iter().sum::<i64>() == 0,
                "transfer {id} is half there: {rows:?}"
            );
            match fate {
                Fate::Committed => ensure!(!rows.is_empty(), "transfer {id} is lost"),
                Fate::RolledBack => ensure!(rows.is_empty(), "transfer {id} was not committed"),
                Fate::Unknown => unknown += 1,
            }
            committed += usize::from(!rows.is_empty());
        }
        ensure!(transfers.is_empty(), "transfers that no client made: {transfers:?}");
        println!("  books:  {} asked for, {committed} done, {unknown} not heard of", told.len());
        ensure!(committed > 20, "only {committed} transfers");
        Ok(())
    }

    /// That every connection has come back, and that the proxies and the servers count the same.
    pub fn check_counters(&self) -> Result<()> {
        let servers = (0..SHARDS).map(|shard| (shard, self.primary(shard)));
        let followers = (0..SHARDS).filter(|shard| !self.failed_over[*shard]);
        let servers: Vec<(usize, &Postgres)> =
            servers.chain(followers.map(|shard| (shard, &self.replicas[shard]))).collect();
        poll::until(SOON, "connections to be counted alike", || {
            let (mut idle, mut there) = (0, 0);
            for proxy in &self.proxies {
                // One was killed.
                let Ok(mut admin) = proxy.admin() else { continue };
                for pool in admin.table("SHOW POOLS")? {
                    if pool["database"] != "app" || pool["user"] != APP_USER {
                        continue;
                    }
                    for column in ["cl_active", "cl_waiting", "sv_active", "sv_login"] {
                        if pool[column] != "0" {
                            return Ok(None);
                        }
                    }
                    idle += pool["sv_idle"].parse::<usize>()?;
                }
            }
            for (shard, server) in &servers {
                // The detectors of deadlocks and those who look for doubt have names of their own.
                let rows = server.sql(&format!(
                    "SELECT count(*) FROM pg_stat_activity WHERE usename = '{APP_USER}' \
                     AND datname = '{}' AND application_name NOT LIKE 'pgherd%'",
                    self.cluster.database(*shard)
                ))?;
                there += rows[0][0].parse::<usize>()?;
            }
            Ok((idle == there).then_some(()))
        })
    }
}
