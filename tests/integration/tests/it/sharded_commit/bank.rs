//! A bank over three shards on three servers, with faults between each of them and the proxy.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgherd_harness::faults::FaultProxy;
use pgherd_harness::poll;
use pgherd_harness::proxy::Proxy;
use pgherd_harness::raw::Client;
use pgherd_harness::sharded::{Builder, ShardedCluster};

/// Shards, each on a server of its own.
pub const SHARDS: usize = 3;
/// How soon nothing may be in doubt any more.
pub const SOON: Duration = Duration::from_secs(15);

const ACCOUNTS: i64 = 120;
const BALANCE: i64 = 1000;

const SCHEMA: &str = "
    CREATE TABLE accounts (id bigint PRIMARY KEY, balance int NOT NULL);
    INSERT INTO accounts SELECT i, 1000 FROM generate_series(1, 120) i;
    CREATE TABLE transfers (id bigint, account bigint, amount int NOT NULL,
                            PRIMARY KEY (account, id));";

/// A running bank.
pub struct Bank {
    pub cluster: ShardedCluster,
    /// One before each server, on the way of the first proxy only.
    pub faults: Vec<FaultProxy>,
    /// Accounts by shards.
    accounts: Vec<Vec<i64>>,
}

/// What a client was told of its COMMIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Committed,
    /// With this SQLSTATE.
    Failed(String),
    /// Nothing: the connection is gone.
    Nothing,
}

impl Bank {
    pub fn builder() -> Builder {
        ShardedCluster::builder(SHARDS)
            .servers(SHARDS)
            .schema(SCHEMA)
            .sharded("accounts", "id")
            .sharded("transfers", "account")
    }

    pub fn open() -> Result<Self> {
        Self::with(Self::builder().start()?)
    }

    pub fn with(cluster: ShardedCluster) -> Result<Self> {
        let faults = (0..SHARDS)
            .map(|shard| FaultProxy::for_postgres(cluster.server(shard).addr(), 1))
            .collect::<Result<_>>()?;
        let accounts = (0..SHARDS)
            .map(|shard| {
                let ids = cluster.shard(shard)?.rows("SELECT id FROM accounts ORDER BY id")?;
                ids.iter().flatten().map(|id| Ok(id.parse()?)).collect()
            })
            .collect::<Result<_>>()?;
        Ok(Self { cluster, faults, accounts })
    }

    /// A proxy with nothing between it and the servers.
    pub fn proxy(&self) -> Result<Proxy> {
        Proxy::start(&self.config())
    }

    /// One that reaches the servers through the faults.
    pub fn fragile_proxy(&self) -> Result<Proxy> {
        let mut config = self.config();
        for (shard, faults) in self.faults.iter().enumerate() {
            let server = format!("port = {},", self.cluster.server(shard).port());
            ensure!(config.contains(&server), "{server} is not in {config}");
            config = config.replace(&server, &format!("port = {},", faults.addr().port()));
        }
        Proxy::start(&config)
    }

    fn config(&self) -> String {
        self.cluster.config().pool_size(40).cluster_setting("checkout_timeout", "\"8s\"").to_toml()
    }

    /// The `n`th account of a shard.
    pub fn account(&self, shard: usize, n: usize) -> i64 {
        self.accounts[shard][n]
    }

    /// Runs all of a transfer but its COMMIT: from shard 0 to the others.
    pub fn begin(&self, proxy: &Proxy, transfer: i64) -> Result<Client> {
        let mut client = Client::login(proxy.addr())?;
        client.set_deadline(Duration::from_secs(60));
        client.rows("BEGIN")?;
        let n = usize::try_from(transfer)?;
        // Not in the order of the shards.
        for (shard, amount) in [(2, 1), (0, -2), (1, 1)] {
            let id = self.account(shard, n);
            client.rows(&format!(
                "UPDATE accounts SET balance = balance + {amount} WHERE id = {id}"
            ))?;
            client.rows(&format!("INSERT INTO transfers VALUES ({transfer}, {id}, {amount})"))?;
        }
        Ok(client)
    }

    /// All of a transfer.
    pub fn transfer(&self, proxy: &Proxy, transfer: i64) -> Result<Told> {
        let mut client = self.begin(proxy, transfer)?;
        Ok(commit(&mut client))
    }

    /// Waits until nothing is prepared on any shard.
    pub fn settle(&self) -> Result<()> {
        let mut clients =
            (0..SHARDS).map(|shard| self.cluster.shard(shard)).collect::<Result<Vec<_>>>()?;
        poll::until(SOON, "nothing to be in doubt", || {
            let mut prepared = 0;
            for client in &mut clients {
                prepared +=
                    client.value("SELECT count(*) FROM pg_prepared_xacts")?.parse::<u64>()?;
            }
            Ok((prepared == 0).then_some(()))
        })
    }

    /// Whether a transfer is there, whole; an error where it is half there, or money has come or
    /// gone.
    pub fn is_there(&self, transfer: i64) -> Result<bool> {
        let rows = self
            .cluster
            .rows(&format!("SELECT amount FROM transfers WHERE id = {transfer} ORDER BY amount"))?;
        let mut amounts: Vec<&str> = rows.iter().flatten().map(String::as_str).collect();
        amounts.sort_unstable();
        ensure!(
            amounts.is_empty() || amounts == ["-2", "1", "1"],
            "transfer {transfer} is half there: {amounts:?}"
        );
        Ok(!amounts.is_empty())
    }

    /// That no money has come or gone, and balances are what the transfers say.
    pub fn check_books(&self) -> Result<()> {
        let sums = self.cluster.rows("SELECT sum(balance) FROM accounts")?;
        let sum: i64 = sums.iter().flatten().map(|sum| sum.parse::<i64>()).sum::<Result<_, _>>()?;
        ensure!(sum == ACCOUNTS * BALANCE, "the bank has {sum}");
        let wrong = self.cluster.rows(&format!(
            "SELECT a.id FROM accounts a LEFT JOIN transfers t ON t.account = a.id \
             GROUP BY a.id HAVING a.balance <> {BALANCE} + COALESCE(sum(t.amount), 0)"
        ))?;
        ensure!(wrong.is_empty(), "balances that no transfer explains: {wrong:?}");
        Ok(())
    }

    /// That each transfer is whole, and there or not as its client was told.
    pub fn check(&self, told: &[(i64, &str, Told)]) -> Result<()> {
        for (transfer, what, told) in told {
            let there = self.is_there(*transfer).with_context(|| what.to_string())?;
            match told {
                Told::Committed => ensure!(there, "{what}: was told COMMIT, and it is not there"),
                // Nobody could know, or nobody is left to say.
                Told::Nothing => {}
                Told::Failed(code) if code == "08007" => {}
                Told::Failed(code) => {
                    ensure!(!there, "{what}: was told {code}, and it is there");
                }
            }
        }
        self.check_books()
    }
}

/// Commits, and listens.
pub fn commit(client: &mut Client) -> Told {
    let Ok(answer) = client.simple("COMMIT") else { return Told::Nothing };
    if let Some(code) = answer.iter().find_map(|message| message.sqlstate()) {
        return Told::Failed(code);
    }
    let committed = answer.iter().any(|it| it.tag == b'C' && it.body.starts_with(b"COMMIT\0"));
    if committed { Told::Committed } else { Told::Failed(format!("{answer:?}")) }
}

impl Bank {
    /// Waits until something is prepared on a shard, and then until nothing is any more.
    pub fn settle_after(&self, shard: usize) -> Result<()> {
        let mut client = self.cluster.shard(shard)?;
        poll::until(SOON, "something to be prepared", || {
            let prepared = client.value("SELECT count(*) FROM pg_prepared_xacts")?;
            Ok((prepared != "0").then_some(()))
        })?;
        self.settle()
    }
}
