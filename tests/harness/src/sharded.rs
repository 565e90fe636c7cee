//! A sharded cluster: databases on one or several real servers, and one database with all rows.
//!
//! ```no_run
//! use pgherd_harness::sharded::ShardedCluster;
//!
//! let cluster = ShardedCluster::builder(3)
//!     .schema("CREATE TABLE t (id bigint PRIMARY KEY, n int); INSERT INTO t SELECT i, i FROM generate_series(1, 99) i")
//!     .sharded("t", "id")
//!     .start()?;
//! let proxy = cluster.proxy()?;                       // database `app`, user `app`
//! let mut client = pgherd_harness::raw::Client::login(proxy.addr())?;
//! let mut one = cluster.whole()?;                     // the same rows in one database
//! # anyhow::Ok(())
//! ```

use anyhow::{Context, Result, ensure};

use crate::postgres::{APP_PASSWORD, APP_USER, Postgres};
use crate::proxy::{Proxy, ProxyConfig};
use crate::raw::{Client, Login};

/// The database with all rows, on the first server.
pub const WHOLE: &str = "whole";
/// The cluster, as clients name it.
pub const CLUSTER: &str = "app";

/// Two tables with a key and a reference table, for tests that need no rows of their own.
pub const SCHEMA: &str = "
    CREATE TABLE countries (code text PRIMARY KEY, name text NOT NULL);
    INSERT INTO countries VALUES ('at', 'Austria'), ('de', 'Germany'), ('fr', 'France');
    CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL, country text, balance int NOT NULL);
    INSERT INTO users SELECT i, 'user ' || i, (ARRAY['at', 'de', 'fr'])[1 + i % 3], 100
      FROM generate_series(1, 60) i;
    CREATE TABLE orders (id bigint, user_id bigint, total numeric(10, 2), PRIMARY KEY (user_id, id));
    INSERT INTO orders SELECT i, 1 + i % 60, i * 1.25 FROM generate_series(1, 240) i;";

/// A running sharded cluster; dropping it stops its servers.
#[derive(Debug)]
pub struct ShardedCluster {
    servers: Vec<Postgres>,
    shards: usize,
    rules: Vec<Rule>,
    placed: Vec<Placed>,
    schemas: Vec<(String, usize)>,
    references: Vec<String>,
}

/// A table whose rule is written out, with the SQL that says the shard of a row.
#[derive(Clone, Debug)]
struct Placed {
    table: String,
    rule: String,
    shard: String,
}

/// A table, or whatever table has the column, is sharded by the hash of that column.
#[derive(Clone, Debug)]
struct Rule {
    table: Option<String>,
    column: String,
    key_type: String,
}

/// What to start; see [`ShardedCluster::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    shards: usize,
    servers: usize,
    settings: Vec<(String, String)>,
    schema: Option<String>,
    rules: Vec<Rule>,
    placed: Vec<Placed>,
    schemas: Vec<(String, usize)>,
    references: Vec<String>,
    create: String,
}

// === impl Builder ===

impl Builder {
    /// On so many servers; the shards are dealt out in turn.
    pub fn servers(mut self, servers: usize) -> Self {
        self.servers = servers;
        self
    }

    /// Sets a parameter on each server's command line.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Tables with all their rows, as the application's user makes them. Each shard loses the rows
    /// that are not its own. Without this it is [`SCHEMA`], sharded by `users.id` and `user_id`.
    pub fn schema(mut self, sql: &str) -> Self {
        self.schema = Some(sql.to_owned());
        self
    }

    /// A table that is sharded by the hash of a `bigint`.
    pub fn sharded(self, table: &str, column: &str) -> Self {
        self.sharded_as(table, column, "bigint")
    }

    /// A table that is sharded by the hash of a column of any type.
    pub fn sharded_as(self, table: &str, column: &str, key_type: &str) -> Self {
        self.rule(Some(table), column, key_type)
    }

    /// Every table with this `bigint` is sharded by its hash.
    pub fn sharded_by(self, column: &str) -> Self {
        self.sharded_by_type(column, "bigint")
    }

    /// Every table with this column of any type is sharded by its hash.
    pub fn sharded_by_type(self, column: &str, key_type: &str) -> Self {
        self.rule(None, column, key_type)
    }

    fn rule(mut self, table: Option<&str>, column: &str, key_type: &str) -> Self {
        let (column, key_type) = (column.to_owned(), key_type.to_owned());
        self.rules.push(Rule { table: table.map(str::to_owned), column, key_type });
        self
    }

    /// A table with a rule in TOML, such as `column = "id", type = "bigint", algorithm = "list", …`,
    /// and the SQL that says the shard of a row.
    pub fn placed(mut self, table: &str, rule: &str, shard: &str) -> Self {
        let [table, rule, shard] = [table, rule, shard].map(str::to_owned);
        self.placed.push(Placed { table, rule, shard });
        self
    }

    /// A schema that is on one shard with all that is in it.
    pub fn schema_on(mut self, schema: &str, shard: usize) -> Self {
        self.schemas.push((schema.to_owned(), shard));
        self
    }

    /// A table that is on every shard in full.
    pub fn reference(mut self, table: &str) -> Self {
        self.references.push(table.to_owned());
        self
    }

    /// Further words of CREATE DATABASE, such as a collation.
    pub fn database_options(mut self, words: &str) -> Self {
        words.clone_into(&mut self.create);
        self
    }

    /// Starts the servers and makes the databases.
    pub fn start(mut self) -> Result<ShardedCluster> {
        if self.schema.is_none() {
            self = self.sharded("users", "id").sharded_by("user_id").reference("countries");
        }
        let schema = self.schema.as_deref().unwrap_or(SCHEMA);
        ensure!(self.servers > 0 && self.shards >= self.servers, "a server has at least one shard");
        let mut servers = Vec::new();
        for number in 0..self.servers {
            let mut builder = Postgres::builder().setting("max_connections", "400");
            for (name, value) in &self.settings {
                builder = builder.setting(name, value);
            }
            let server = builder.start()?;
            let options = &self.create;
            server.sql(&format!("CREATE DATABASE {WHOLE} OWNER {APP_USER} {options}"))?;
            // Types have other OIDs on each server, as they do where servers have a past.
            for _ in 0..number * 10 {
                server.sql("CREATE TYPE past AS ENUM ('gone'); DROP TYPE past")?;
            }
            login(&server, WHOLE)?.rows(schema).context("the schema")?;
            servers.push(server);
        }
        let Self { shards, rules, placed, schemas, references, .. } = self;
        let cluster = ShardedCluster { servers, shards, rules, placed, schemas, references };
        for shard in 0..shards {
            let database = cluster.database(shard);
            let sql = format!("CREATE DATABASE {database} TEMPLATE {WHOLE} OWNER {APP_USER}");
            cluster.server(shard).sql(&sql)?;
            cluster.keep_own_rows(shard)?;
        }
        Ok(cluster)
    }
}

// === impl ShardedCluster ===

impl ShardedCluster {
    /// So many shards with [`SCHEMA`], on one server.
    pub fn start(shards: usize) -> Result<Self> {
        Self::builder(shards).start()
    }

    /// So many shards that are different.
    pub fn builder(shards: usize) -> Builder {
        Builder {
            shards,
            servers: 1,
            settings: Vec::new(),
            schema: None,
            rules: Vec::new(),
            placed: Vec::new(),
            schemas: Vec::new(),
            references: Vec::new(),
            create: String::new(),
        }
    }

    /// How many shards there are.
    pub fn count(&self) -> usize {
        self.shards
    }

    /// The servers, to be killed and restarted.
    pub fn servers(&mut self) -> &mut [Postgres] {
        &mut self.servers
    }

    /// The server of a shard.
    pub fn server(&self, shard: usize) -> &Postgres {
        &self.servers[shard % self.servers.len()]
    }

    /// The database of a shard on its server.
    pub fn database(&self, shard: usize) -> String {
        format!("{CLUSTER}_{shard}")
    }

    /// A connection to a shard, as the application's user.
    pub fn shard(&self, shard: usize) -> Result<Client> {
        login(self.server(shard), &self.database(shard))
    }

    /// A connection to the database with all rows, as the application's user.
    pub fn whole(&self) -> Result<Client> {
        login(&self.servers[0], WHOLE)
    }

    /// A connection URL for the database with all rows.
    pub fn whole_url(&self) -> String {
        self.servers[0].url(WHOLE)
    }

    /// A connection URL for a shard.
    pub fn shard_url(&self, shard: usize) -> String {
        self.server(shard).url(&self.database(shard))
    }

    /// The rows that a query gives on all shards, in their order.
    pub fn rows(&self, sql: &str) -> Result<Vec<Vec<String>>> {
        let mut all = Vec::new();
        for shard in 0..self.shards {
            all.extend(self.shard(shard)?.rows(sql)?);
        }
        Ok(all)
    }

    /// The shard of a key, as `PARTITION BY HASH` of Postgres says it.
    pub fn place(&self, key: i64) -> Result<usize> {
        let mut client = self.whole()?;
        client.rows("CREATE TEMP TABLE placement (key bigint) PARTITION BY HASH (key)")?;
        let sql = format!(
            "SELECT r FROM generate_series(0, {0} - 1) r \
             WHERE satisfies_hash_partition('placement'::regclass, {0}, r, {key}::bigint)",
            self.shards
        );
        Ok(client.value(&sql)?.parse()?)
    }

    /// The configuration of a proxy: the cluster [`CLUSTER`] in transaction mode.
    pub fn config(&self) -> ProxyConfig {
        self.config_in("transaction")
    }

    /// The same in another pool mode.
    pub fn config_in(&self, pool_mode: &str) -> ProxyConfig {
        let mut config =
            ProxyConfig::new(pool_mode, self.server(0)).named(CLUSTER, &self.database(0));
        for shard in 1..self.shards {
            config = config.shard(self.server(shard), &self.database(shard));
        }
        let mut rules: Vec<String> = self.rules.iter().map(Rule::to_toml).collect();
        let placed = self.placed.iter();
        rules.extend(placed.map(|it| format!("{{ table = {:?}, {} }}", it.table, it.rule)));
        let schema =
            |(it, shard): &(String, usize)| format!("{{ schema = {it:?}, shard = {shard} }}");
        let schemas: Vec<String> = self.schemas.iter().map(schema).collect();
        config
            .cluster_setting("sharded_schemas", &format!("[{}]", schemas.join(", ")))
            .cluster_setting("sharded_tables", &format!("[{}]", rules.join(", ")))
            .cluster_setting("reference_tables", &format!("{:?}", self.references))
    }

    /// The configuration with one replica for each shard, to which reads go.
    pub fn config_with(&self, replicas: &[Postgres]) -> ProxyConfig {
        let with = |config: ProxyConfig, (shard, replica): (usize, &Postgres)| {
            config.instance_of_shard(shard, replica, &self.database(shard), "replica")
        };
        let config = replicas.iter().enumerate().fold(self.config(), with);
        config.cluster_setting("reads", "\"replicas\"")
    }

    /// A replica of the server of each shard.
    pub fn replicas(&self) -> Result<Vec<Postgres>> {
        (0..self.shards).map(|shard| self.server(shard).streaming_replica()).collect()
    }

    /// A proxy with this configuration.
    pub fn proxy(&self) -> Result<Proxy> {
        Proxy::start(&self.config().to_toml())
    }

    fn keep_own_rows(&self, shard: usize) -> Result<()> {
        // As a superuser, for whom foreign keys wait until all rows are gone.
        let mut client = self.server(shard).superuser(&self.database(shard))?;
        client.rows("SET session_replication_role = replica")?;
        for (schema, _) in self.schemas.iter().filter(|(_, on)| *on != shard) {
            client.rows(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE"))?;
        }
        for Placed { table, shard: of_row, .. } in &self.placed {
            let others = format!("({of_row}) IS DISTINCT FROM {shard}");
            client.rows(&format!("DELETE FROM {table} WHERE {others}"))?;
        }
        let mut done = self.references.clone();
        done.extend(self.placed.iter().map(|it| it.table.clone()));
        // Rules for a table go before those for a column.
        let (named, any): (Vec<_>, Vec<_>) = self.rules.iter().partition(|it| it.table.is_some());
        for (number, rule) in named.into_iter().chain(any).enumerate() {
            let (placement, key_type) = (format!("placement_{number}"), &rule.key_type);
            client.rows(&format!(
                "CREATE TEMP TABLE {placement} (key {key_type}) PARTITION BY HASH (key)"
            ))?;
            for table in rule.tables(&mut client)? {
                if done.contains(&table) {
                    continue;
                }
                client
                    .rows(&format!(
                        "DELETE FROM {table} WHERE NOT satisfies_hash_partition(\
                         '{placement}'::regclass, {}, {shard}, {}::{key_type})",
                        self.shards, rule.column
                    ))
                    .with_context(|| format!("the rows of {table}"))?;
                done.push(table);
            }
        }
        Ok(())
    }
}

impl Rule {
    fn to_toml(&self) -> String {
        let Self { table, column, key_type } = self;
        let table = table.as_ref().map(|it| format!("table = {it:?}, ")).unwrap_or_default();
        format!("{{ {table}column = {column:?}, type = {key_type:?} }}")
    }

    fn tables(&self, client: &mut Client) -> Result<Vec<String>> {
        if let Some(table) = &self.table {
            return Ok(vec![table.clone()]);
        }
        let tables = client.rows(&format!(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
             WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace \
             AND NOT c.relispartition AND a.attname = '{}'",
            self.column
        ))?;
        Ok(tables.concat())
    }
}

fn login(server: &Postgres, database: &str) -> Result<Client> {
    Client::login_as(server.addr(), &Login::new(APP_USER, APP_PASSWORD, database))
}
