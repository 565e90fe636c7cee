//! One database with all rows, and shards with theirs.

use std::collections::HashMap;

use anyhow::{Context, Result};
use pgherd_harness::postgres::Postgres;
use pgherd_plan::{COLUMNS_QUERY, FUNCTIONS_QUERY};
use pgherd_plan::{Catalog, Column, ColumnRow, FunctionRow, Parameter, Placement, Rules, Table};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

const SCHEMA: &str = include_str!("schema.sql");
const SHARDED: &[&str] = &["users", "orders", "items", "events"];
/// Keys whose shards are asked of Postgres beforehand.
const KEYS: i64 = 1000;

pub struct Cluster {
    pub shards: Vec<Client>,
    pub catalog: Catalog,
    pub places: Places,
}

/// The shard of each key, as `PARTITION BY HASH` of Postgres says it.
pub struct Places(HashMap<i64, usize>);

pub async fn connect(postgres: &Postgres, database: &str) -> Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(&postgres.superuser_url(database), NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute("SET TimeZone = 'Europe/Berlin'").await?;
    Ok(client)
}

pub async fn rows(client: &Client, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
    let messages = client.simple_query(sql).await?;
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|it| row.get(it).map(str::to_owned)).collect())
        }
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}

/// The database with all rows; its collation is not that of bytes.
pub async fn create_whole(postgres: &Postgres) -> Result<()> {
    let client = connect(postgres, "postgres").await?;
    client
        .batch_execute(
            "CREATE DATABASE whole TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu \
             ICU_LOCALE 'en-US' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'",
        )
        .await?;
    connect(postgres, "whole").await?.batch_execute(SCHEMA).await.context("the schema")
}

impl Cluster {
    pub async fn create(postgres: &Postgres, shards: usize) -> Result<Self> {
        let admin = connect(postgres, "postgres").await?;
        let mut clients = Vec::new();
        for shard in 0..shards {
            let name = format!("shard_{shards}_{shard}");
            admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE whole")).await?;
            let client = connect(postgres, &name).await?;
            for table in SHARDED {
                let key = if *table == "users" { "id" } else { "user_id" };
                let delete = format!(
                    "DELETE FROM {table} WHERE NOT \
                     satisfies_hash_partition('placement'::regclass, {shards}, {shard}, {key})"
                );
                client.batch_execute(&delete).await?;
            }
            clients.push(client);
        }
        let first = clients.first().context("a shard")?;
        let mut places = HashMap::new();
        let sql = format!(
            "SELECT k, r FROM generate_series(0, {KEYS}) k, generate_series(0, {shards} - 1) r \
             WHERE satisfies_hash_partition('placement'::regclass, {shards}, r, k::bigint)"
        );
        for row in rows(first, &sql).await? {
            let [Some(key), Some(shard)] = row.as_slice() else { continue };
            places.insert(key.parse()?, shard.parse()?);
        }
        let catalog = catalog(first, shards).await?;
        Ok(Self { shards: clients, catalog, places: Places(places) })
    }
}

async fn catalog(client: &Client, shards: usize) -> Result<Catalog> {
    client.batch_execute("SET search_path = pg_catalog").await?;
    let columns = rows(client, COLUMNS_QUERY).await?.into_iter().map(|row| {
        let mut fields = row.into_iter();
        let mut next = || fields.next().flatten();
        Some(ColumnRow {
            schema: next()?,
            table: next()?,
            relation_kind: next()?,
            column: next()?,
            type_oid: next()?.parse().ok()?,
            sql_type: next()?,
            plain_type: next()?,
            collation: next(),
            deterministic: next()? == "t",
            type_kind: next()?,
            inner_oid: next()?.parse().ok()?,
            base_type: next(),
            element_kind: next()?,
        })
    });
    let columns = columns.collect::<Option<Vec<_>>>().context("a row of the catalog")?;
    let functions = rows(client, FUNCTIONS_QUERY).await?.into_iter().filter_map(|row| {
        let [schema, name, immutable, plain] = <[Option<String>; 4]>::try_from(row).ok()?;
        let (immutable, plain) = (immutable? == "t", plain? == "t");
        Some(FunctionRow { schema: schema?, name: name?, immutable, plain })
    });
    let rules = Rules {
        sharded: vec![(Some("users".into()), "id".into()), (None, "user_id".into())],
        reference: vec!["countries".into()],
        shards,
        ..Rules::default()
    };
    let catalog = Catalog::new(columns, functions.collect(), &rules);
    client.batch_execute("RESET search_path").await?;
    Ok(catalog)
}

impl Places {
    fn of(&self, text: &str) -> Option<usize> {
        self.0.get(&text.trim().parse().ok()?).copied()
    }
}

impl Placement for Places {
    fn shard(&self, _: &Table, _: &Column, key: &Parameter<'_>) -> Option<usize> {
        self.of(std::str::from_utf8(key.value?).ok()?)
    }

    fn shards(&self, _: &Table, _: &Column, keys: &Parameter<'_>) -> Option<Vec<usize>> {
        let text = std::str::from_utf8(keys.value?).ok()?.strip_prefix('{')?.strip_suffix('}')?;
        text.split(',').map(|it| self.of(it)).collect()
    }
}
