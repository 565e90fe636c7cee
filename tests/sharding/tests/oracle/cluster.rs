//! One database with all rows, and shards with theirs.

use std::collections::HashMap;

use anyhow::{Context, Result};
use bytes::Bytes;
use pgherd_config::{ShardedTable, ShardingAlgorithm};
use pgherd_harness::postgres::Postgres;
use pgherd_plan::{COLUMNS_QUERY, FUNCTIONS_QUERY, TABLES_QUERY, TableRow, VIEWS_QUERY, ViewRow};
use pgherd_plan::{
    Catalog, Column, ColumnRow, FunctionRow, Linguistic, Parameter, Placement, Rules, Table,
};
use pgherd_types::{Collation, CollationFacts, Format, Settings, Type};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

const SCHEMA: &str = concat!(
    include_str!("schema.sql"),
    include_str!("schema_views.sql"),
    include_str!("schema_writes.sql")
);
/// Sharded tables, their keys, and a partitioned table that shows where Postgres has such keys.
pub const SHARDED: &[(&str, &str, &str)] = &[
    ("users", "id", "placement"),
    ("orders", "user_id", "placement"),
    ("items", "user_id", "placement"),
    ("events", "user_id", "placement"),
    ("edges", "user_id", "placement"),
    ("accounts", "id", "placement"),
    ("tickets", "user_id", "placement"),
    ("notes", "user_id", "placement"),
    ("archive", "user_id", "placement"),
    ("visits", "sid", "placement_of_uuids"),
    ("words", "word", "placement_of_words"),
    ("children", "user_id", "placement"),
    ("parents", "user_id", "placement"),
];

pub struct Cluster {
    pub shards: Vec<Client>,
    pub catalog: Catalog,
    pub places: Places,
    /// Of collations that are merged by, by their quoted names.
    pub orders: HashMap<String, Collation>,
}

/// The shard of each key, as pgherd says it; where the rows are says Postgres.
pub struct Places(HashMap<u32, pgherd_sharding::Placement>);

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

/// Databases with all rows by the library of their collation: ICU and libc's know languages, the
/// last one orders by bytes.
pub const WHOLE: &[(&str, &str)] = &[
    ("whole", "LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'"),
    ("whole_german", "LOCALE_PROVIDER libc LOCALE 'de_DE.utf8'"),
    ("whole_c", "LOCALE_PROVIDER libc LOCALE 'C.UTF-8'"),
];

pub async fn create_whole(postgres: &Postgres, name: &str, locale: &str) -> Result<()> {
    let client = connect(postgres, "postgres").await?;
    client
        .batch_execute(&format!(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {locale}"
        ))
        .await?;
    connect(postgres, name).await?.batch_execute(SCHEMA).await.context("the schema")
}

impl Cluster {
    pub async fn create(postgres: &Postgres, whole: &str, shards: usize) -> Result<Self> {
        let admin = connect(postgres, "postgres").await?;
        let mut clients = Vec::new();
        for shard in 0..shards {
            let name = format!("{whole}_{shards}_{shard}");
            admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {whole}")).await?;
            let client = connect(postgres, &name).await?;
            for (table, key, placement) in SHARDED {
                let delete = format!(
                    "DELETE FROM {table} WHERE NOT \
                     satisfies_hash_partition('{placement}'::regclass, {shards}, {shard}, {key})"
                );
                client.batch_execute(&delete).await?;
            }
            clients.push(client);
        }
        let first = clients.first().context("a shard")?;
        let rule = ShardedTable {
            table: None,
            column: "key".to_owned(),
            column_type: "bigint".to_owned(),
            algorithm: ShardingAlgorithm::Hash,
            shards: Vec::new(),
        };
        let mut places = HashMap::new();
        for name in ["smallint", "integer", "bigint", "text", "varchar", "uuid"] {
            let of = Type::named(name).context("a type")?;
            let placement = pgherd_sharding::Placement::new(&rule, shards, &of, &Collation::Bytes)?;
            places.insert(of.oid(), placement);
        }
        let mut catalog = catalog(first, shards).await?;
        catalog.set_default_by_bytes(whole == "whole_c");
        let (linguistic, orders) = linguistic(first).await?;
        catalog.set_linguistic(linguistic);
        Ok(Self { shards: clients, catalog, places: Places(places), orders })
    }
}

/// The collations of a few languages, where this machine's library has them in the server's version.
async fn linguistic(client: &Client) -> Result<(Vec<Linguistic>, HashMap<String, Collation>)> {
    let version = rows(client, "SHOW server_version_num").await?;
    let version = version.into_iter().flatten().flatten().next().context("a version")?;
    let major = version.parse::<u32>()? / 10_000;
    let (mut all, mut orders) = (Vec::new(), HashMap::new());
    for row in rows(client, &pgherd_types::catalog::collations(major)).await? {
        let [oid, name, provider, locale, deterministic, version] =
            <[Option<String>; 6]>::try_from(row).ok().context("a row of collations")?;
        let (oid, name) = (oid.context("an OID")?, name.context("a name")?);
        if oid != "0" && !["german", "swedish"].contains(&name.as_str()) {
            continue;
        }
        let facts = CollationFacts {
            name: name.clone(),
            provider: provider.and_then(|it| it.chars().next()).context("a provider")?,
            locale: locale.unwrap_or_default(),
            deterministic: deterministic.as_deref() == Some("t"),
            version: version.unwrap_or_default(),
        };
        let collation = facts.resolve_with(pgherd_collation::library);
        let Collation::Library { .. } = collation else { continue };
        let (schema, name, quoted) = match oid.as_str() {
            "0" => ("pg_catalog".to_owned(), "default".to_owned(), Linguistic::DEFAULT.to_owned()),
            _ => ("public".to_owned(), name.clone(), format!("public.{name}")),
        };
        orders.insert(quoted.clone(), collation);
        all.push(Linguistic { schema, name, quoted, is_alone: true });
    }
    Ok((all, orders))
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
        sharded: vec![
            (Some("users".into()), "id".into()),
            (Some("accounts".into()), "id".into()),
            (Some("visits".into()), "sid".into()),
            (Some("words".into()), "word".into()),
            (None, "user_id".into()),
        ],
        reference: vec!["countries".into(), "currencies".into()],
        shards,
        ..Rules::default()
    };
    let mut catalog = Catalog::new(columns, functions.collect(), &rules);
    let tables = rows(client, TABLES_QUERY).await?.into_iter().filter_map(|row| {
        let [schema, table, kind, name, value] = <[Option<String>; 5]>::try_from(row).ok()?;
        let (schema, table, value) = (schema?, table?, value.unwrap_or_default());
        Some(TableRow { schema, table, kind: kind?, name: name?, value })
    });
    catalog.add_tables(tables.collect());
    let views = rows(client, VIEWS_QUERY).await?.into_iter().filter_map(|row| {
        let [schema, name, definition] = <[Option<String>; 3]>::try_from(row).ok()?;
        Some(ViewRow { schema: schema?, name: name?, definition: definition? })
    });
    catalog.add_views(views.collect());
    client.batch_execute("RESET search_path").await?;
    Ok(catalog)
}

impl Places {
    fn of(&self, type_oid: u32, value: Option<&[u8]>, format: Format) -> Option<usize> {
        let placement = self.0.get(&type_oid)?;
        let of = placement.data_type();
        let decode =
            |it: &[u8]| of.decode(format, &Bytes::copy_from_slice(it), &Settings::default()).ok();
        let value = match value {
            Some(value) => Some(decode(value)?),
            None => None,
        };
        placement.place(value.as_ref()).ok()
    }
}

impl Placement for Places {
    fn shard(&self, _: &Table, _: &Column, key: &Parameter<'_>) -> Option<usize> {
        let format = if key.binary { Format::Binary } else { Format::Text };
        self.of(key.type_oid, key.value, format)
    }

    fn shards(&self, _: &Table, column: &Column, keys: &Parameter<'_>) -> Option<Vec<usize>> {
        let text = std::str::from_utf8(keys.value?).ok()?.strip_prefix('{')?.strip_suffix('}')?;
        let place = |it: &str| self.of(column.type_oid, Some(it.as_bytes()), Format::Text);
        text.split(',').map(place).collect()
    }
}
