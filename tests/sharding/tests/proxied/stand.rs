//! One Postgres with all rows, and a proxy over shards with the same ones.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use pgherd_harness::postgres::{APP_PASSWORD, APP_USER};
use pgherd_harness::proxy::Proxy;
use pgherd_harness::raw::{Client, Login};
use pgherd_harness::sharded::{CLUSTER, ShardedCluster, WHOLE};

/// Its collation is not that of bytes.
const COLLATION: &str = "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu \
     ICU_LOCALE 'en-US' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'";

/// Tables that are on every shard in full.
const REFERENCES: [&str; 2] = ["countries", "currencies"];

/// As in the oracle without a proxy.
const RESTART: &str = "SELECT setval('accounts_id_seq', 500, false), \
     setval('tickets_id_seq', 500, false), setval('currencies_id_seq', 10, false), \
     setval('numbers', 100, false)";

/// What every session of the test begins with.
const TIME_ZONE: &str = "Europe/Berlin";

/// Longest answer, on a machine that does other things as well.
const DEADLINE: Duration = Duration::from_secs(30);

struct Table {
    name: String,
    /// Each shard has all its rows.
    is_reference: bool,
    /// All that can be compared: what the clock or chance has made is only called that.
    select: String,
}

/// In place of a time, with `@` for a quote.
const RECENT: &str =
    "CASE WHEN %1$s > @2026-01-01@ AND %1$s < @infinity@ THEN @now@ ELSE CAST(%1$s AS text) END";
/// In place of a UUID.
const RANDOM: &str = "CASE WHEN CAST(%1$s AS text) LIKE @00000000-%%@ THEN CAST(%1$s AS text) WHEN %1$s IS NOT NULL THEN @random@ END";

pub struct Stand {
    /// Its servers live as long.
    _cluster: ShardedCluster,
    proxy: Proxy,
    /// The database with all rows.
    pub whole: Client,
    /// A session through the proxy.
    pub proxied: Client,
    /// Every table with rows.
    tables: Vec<Table>,
    /// To look at tables, and to put back what they had.
    looking: Vec<Client>,
    looking_at_whole: Client,
}

impl Stand {
    pub fn start(shards: usize, servers: usize) -> Result<Self> {
        let schema = schema()?;
        let cluster = ShardedCluster::builder(shards)
            .servers(servers)
            .database_options(COLLATION)
            .schema(&schema)
            .sharded("users", "id")
            .sharded_by("user_id")
            .sharded("accounts", "id")
            .sharded_as("visits", "sid", "uuid")
            .sharded_as("words", "word", "varchar")
            .reference("countries")
            .reference("currencies")
            .schema_on("north", 0)
            .schema_on("east", 0)
            .schema_on("south", 1)
            .start()?;
        let proxy = cluster.proxy()?;
        let server = cluster.server(0).addr();
        let mut looking_at_whole = cluster.server(0).superuser(WHOLE)?;
        let mut looking = Vec::new();
        for shard in 0..shards {
            looking.push(cluster.server(shard).superuser(&cluster.database(shard))?);
        }
        let mut tables = Vec::new();
        let named = looking_at_whole.rows(
            "SELECT quote_ident(relname) FROM pg_class WHERE relkind = 'r' \
             AND NOT relispartition AND relnamespace = 'public'::regnamespace \
             AND relname <> 'logs' ORDER BY relname",
        )?;
        for table in named.into_iter().flatten() {
            let is_reference = REFERENCES.contains(&table.as_str());
            let select = looking_at_whole.value(
                &format!(
                    "SELECT 'SELECT ' || string_agg(CASE atttypid \
                   WHEN 'timestamptz'::regtype THEN format({RECENT:?}, quote_ident(attname)) \
                   WHEN 'uuid'::regtype THEN format({RANDOM:?}, quote_ident(attname)) \
                   ELSE quote_ident(attname) END, ', ' ORDER BY attnum) || ' FROM {table}' \
                 FROM pg_attribute WHERE attrelid = 'public.{table}'::regclass AND attnum > 0"
                )
                .replace('"', "'")
                .replace("@", "''"),
            )?;
            tables.push(Table { name: table, is_reference, select });
        }
        for client in looking.iter_mut().chain([&mut looking_at_whole]) {
            client.rows("CREATE SCHEMA kept; SET session_replication_role = replica")?;
            client.rows(&format!("GRANT USAGE ON SCHEMA kept TO {APP_USER}"))?;
            for Table { name: table, .. } in &tables {
                client.rows(&format!("CREATE TABLE kept.{table} AS TABLE public.{table}"))?;
            }
        }
        let whole = connect(server, WHOLE)?;
        let proxied = connect(proxy.addr(), CLUSTER)?;
        Ok(Self { _cluster: cluster, proxy, whole, proxied, tables, looking, looking_at_whole })
    }

    /// A new session through the proxy, after one that was dropped.
    pub fn reconnect(&mut self) -> Result<()> {
        self.proxied = connect(self.proxy.addr(), CLUSTER)
            .with_context(|| format!("the proxy's log: {}", self.proxy.log_tail()))?;
        Ok(())
    }

    /// Sequences go on where they began: what is refused on one side only must not set them apart.
    pub fn restart_sequences(&mut self) -> Result<()> {
        for client in self.looking.iter_mut().chain([&mut self.looking_at_whole]) {
            client.rows(RESTART)?;
        }
        Ok(())
    }

    /// Which table has other rows than it should. In a block only its own session sees them.
    pub fn compare_tables(&mut self, in_block: bool) -> Result<Option<String>> {
        for Table { name: table, is_reference, select: sql } in &self.tables {
            let mut expected = match in_block {
                true => self.whole.rows(sql)?,
                false => self.looking_at_whole.rows(sql)?,
            };
            expected.sort();
            let mut found = Vec::new();
            if in_block {
                found.push(self.proxied.rows(sql)?);
            } else {
                for client in &mut self.looking {
                    found.push(client.rows(sql)?);
                }
                if !is_reference {
                    found = vec![found.concat()];
                }
            }
            for mut rows in found {
                rows.sort();
                if rows != expected {
                    let other = rows.iter().find(|row| !expected.contains(row));
                    let (is, should) = (rows.len(), expected.len());
                    return Ok(Some(format!(
                        "{table}: {is} rows afterwards, {should} expected; not expected: {other:?}"
                    )));
                }
            }
        }
        Ok(None)
    }

    /// Puts back the rows that there were in the beginning.
    pub fn restore(&mut self) -> Result<()> {
        for client in self.looking.iter_mut().chain([&mut self.looking_at_whole]) {
            let mut sql = String::new();
            for Table { name: table, .. } in &self.tables {
                let changed = client.value(&format!(
                    "SELECT EXISTS (SELECT t::text FROM {table} t EXCEPT ALL SELECT t::text FROM kept.{table} t) \
                     OR (SELECT count(*) FROM {table}) <> (SELECT count(*) FROM kept.{table})"
                ))?;
                if changed == "t" {
                    // What is generated cannot be given.
                    let columns = client.value(&format!(
                        "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) \
                         FROM pg_attribute WHERE attrelid = 'public.{table}'::regclass \
                         AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"
                    ))?;
                    sql.push_str(&format!("DELETE FROM {table}; INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE \
                         SELECT {columns} FROM kept.{table};"));
                }
            }
            if !sql.is_empty() {
                client.rows(&sql)?;
            }
        }
        Ok(())
    }
}

fn connect(addr: std::net::SocketAddr, database: &str) -> Result<Client> {
    let login = Login::new(APP_USER, APP_PASSWORD, database).parameter("TimeZone", TIME_ZONE);
    let mut client = Client::login_as(addr, &login)?;
    client.set_deadline(DEADLINE);
    Ok(client)
}

/// The tables of the oracle, from all its files.
fn schema() -> Result<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
        if name.starts_with("schema") && name.ends_with(".sql") {
            files.push(path);
        }
    }
    files.sort();
    let mut text = String::new();
    for file in files {
        text.push_str(&fs::read_to_string(file)?);
    }
    Ok(text)
}
