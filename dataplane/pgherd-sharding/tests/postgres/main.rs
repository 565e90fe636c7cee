//! Where rows go, against tables that a real Postgres has partitioned by the same rule.
//!
//! The keys are drawn from a seed that is printed; `PGHERD_SEED` repeats one.

mod keys;

use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use pgherd_config::{KeyText, KeyedShard, ShardedTable, ShardingAlgorithm};
use pgherd_harness::postgres::{DATABASE, Postgres};
use pgherd_harness::raw::Client;
use pgherd_sharding::{Placement, PlacementError, Unplaced};
use pgherd_types::{Collation, CollationFacts, Format, Kind, Settings, Type, Value};
use rand::SeedableRng;
use rand::rngs::StdRng;

use keys::HASHED;

const KEYS: usize = 2000;

fn random() -> Result<StdRng> {
    let seed = std::env::var("PGHERD_SEED")
        .ok()
        .map_or_else(|| Ok(rand::random()), |it| u64::from_str(&it))?;
    println!("PGHERD_SEED={seed}");
    Ok(StdRng::seed_from_u64(seed))
}

fn rule(column_type: &str, algorithm: ShardingAlgorithm, shards: Vec<KeyedShard>) -> ShardedTable {
    let column_type = column_type.to_owned();
    ShardedTable { table: None, column: "k".to_owned(), column_type, algorithm, shards }
}

fn keyed(shard: usize) -> KeyedShard {
    KeyedShard { shard, values: Vec::new(), nulls: false, from: None, to: None, default: false }
}

fn key(text: &str) -> KeyText {
    KeyText::Text(text.to_owned())
}

fn read(data_type: &Type, text: &str) -> Result<Option<Value>> {
    if text == "NULL" {
        return Ok(None);
    }
    let raw = text.as_bytes().to_vec().into();
    Ok(Some(data_type.decode(Format::Text, &raw, &Settings::default())?))
}

/// Fills the table `t` with keys and compares each row's partition, named `t_` and its shard.
fn check(
    client: &mut Client,
    data_type: &Type,
    placement: &Placement,
    sql_type: &str,
    texts: &[String],
) -> Result<()> {
    let quoted: Vec<String> =
        texts.iter().map(|text| format!("'{}'", text.replace('\'', "''"))).collect();
    let rows = client.rows(&format!(
        "INSERT INTO t SELECT x::{sql_type} FROM unnest(ARRAY[{}]::text[]) x; INSERT INTO t VALUES (NULL); \
         SELECT k, tableoid::regclass FROM t",
        quoted.join(",")
    ))?;
    ensure!(rows.len() == texts.len() + 1, "{} rows", rows.len());
    for row in rows {
        let value = read(data_type, &row[0])?;
        let shard = placement.place(value.as_ref()).with_context(|| row[0].clone())?;
        ensure!(
            row[1] == format!("t_{shard}"),
            "{} {:?}: {}, ours {shard}",
            sql_type,
            row[0],
            row[1]
        );
    }
    Ok(())
}

#[test]
fn hash_is_that_of_partitions() -> Result<()> {
    let postgres = Postgres::start()?;
    let major = postgres.install().major();
    let mut client = postgres.superuser(DATABASE)?;
    client.simple("SET timezone = 'UTC'")?;
    let mut random = random()?;
    for (name, since, generate) in HASHED {
        if *since > major {
            continue;
        }
        let data_type = Type::named(name).with_context(|| format!("the type {name}"))?;
        for shards in [1, 3, 8] {
            let parts = (0..shards).map(|shard| {
                format!("CREATE TABLE t_{shard} PARTITION OF t FOR VALUES WITH (MODULUS {shards}, REMAINDER {shard});")
            });
            let parts: String = parts.collect();
            client.rows(&format!(
                "DROP TABLE IF EXISTS t; CREATE TABLE t (k {name}) PARTITION BY HASH (k); {parts}"
            ))?;
            let rule = rule(name, ShardingAlgorithm::Hash, Vec::new());
            let placement = Placement::new(&rule, shards, &data_type, &Collation::Bytes)?;
            let texts: Vec<String> = (0..KEYS).map(|_| generate(&mut random)).collect();
            check(&mut client, &data_type, &placement, name, &texts).with_context(|| *name)?;
        }
    }
    Ok(())
}

/// No type is taken for a key without a row above.
#[test]
fn every_type_that_is_taken_is_tested() -> Result<()> {
    let postgres = Postgres::start()?;
    let mut client = postgres.superuser(DATABASE)?;
    let mut tested = Vec::new();
    for (name, ..) in HASHED {
        tested.push(Type::named(name).with_context(|| format!("the type {name}"))?.oid());
    }
    let types = client.rows(
        "SELECT oid, format_type(oid, NULL) FROM pg_type WHERE oid < 16384 AND typtype <> 'p' \
         AND typrelid = 0 ORDER BY oid",
    )?;
    ensure!(types.len() > 100, "{} types", types.len());
    for row in types {
        let (oid, name) = (row[0].parse()?, &row[1]);
        let Some(data_type) = Type::builtin(oid) else { continue };
        let rule = rule(name, ShardingAlgorithm::Hash, Vec::new());
        match Placement::new(&rule, 3, &data_type, &Collation::Bytes) {
            Ok(_) => ensure!(tested.contains(&oid), "{name} is taken, but not tested"),
            Err(error) => {
                ensure!(!tested.contains(&oid), "{name} is tested, but refused");
                let text = error.to_string();
                ensure!(text.contains("cannot be"), "{name}: {text}");
            }
        }
    }
    Ok(())
}

/// Names of schemas without a shard of their own are placed as texts are.
#[test]
fn schemas_are_placed_as_their_names_are() -> Result<()> {
    let postgres = Postgres::start()?;
    let mut client = postgres.superuser(DATABASE)?;
    client.rows("CREATE TABLE p (name text) PARTITION BY HASH (name)")?;
    let rules = [pgherd_config::ShardedSchema { schema: "tenant_*".to_owned(), shard: None }];
    let placement = pgherd_sharding::SchemaPlacement::new(&rules, 5);
    for number in 0..200 {
        let name = format!("tenant_{number}");
        let sql = format!(
            "SELECT r FROM generate_series(0, 4) r WHERE \
             satisfies_hash_partition('p'::regclass, 5, r, '{name}'::text)"
        );
        let shard: usize = client.value(&sql)?.parse()?;
        ensure!(placement.place(&name) == Some(shard), "{name}");
    }
    Ok(())
}

#[test]
fn list_is_that_of_partitions() -> Result<()> {
    let postgres = Postgres::start()?;
    let mut client = postgres.superuser(DATABASE)?;
    let mut random = random()?;
    let rows: [(&str, [&str; 4]); 5] = [
        ("integer", ["1", "2", "3", "-4"]),
        ("text", ["a", "b", "", "it's"]),
        ("numeric", ["1.0", "2", "NaN", "-4.50"]),
        ("char(4)", ["a", "b ", "", "abcd"]),
        ("date", ["2024-01-01", "2024-01-02", "infinity", "0001-01-01 BC"]),
    ];
    for (name, listed) in rows {
        let data_type = Type::named(name).with_context(|| format!("the type {name}"))?;
        let [a, b, c, d] = listed.map(|text| format!("'{}'", text.replace('\'', "''")));
        client.rows(&format!(
            "DROP TABLE IF EXISTS t; CREATE TABLE t (k {name}) PARTITION BY LIST (k); \
             CREATE TABLE t_0 PARTITION OF t FOR VALUES IN ({a}, {b}); \
             CREATE TABLE t_1 PARTITION OF t FOR VALUES IN ({c}, NULL); \
             CREATE TABLE t_2 PARTITION OF t FOR VALUES IN ({d}); \
             CREATE TABLE t_3 PARTITION OF t DEFAULT"
        ))?;
        let [a, b, c, d] = listed.map(key);
        let rule = rule(
            name,
            ShardingAlgorithm::List,
            vec![
                KeyedShard { values: vec![a, b], ..keyed(0) },
                KeyedShard { values: vec![c], nulls: true, ..keyed(1) },
                KeyedShard { values: vec![d], ..keyed(2) },
                KeyedShard { default: true, ..keyed(3) },
            ],
        );
        let placement = Placement::new(&rule, 4, &data_type, &Collation::Bytes)?;
        let texts: Vec<String> = (0..200).map(|_| keys::near(&mut random, name, &listed)).collect();
        check(&mut client, &data_type, &placement, name, &texts).with_context(|| name)?;
    }
    Ok(())
}

#[test]
fn range_is_that_of_partitions() -> Result<()> {
    let postgres = Postgres::start()?;
    let mut client = postgres.superuser(DATABASE)?;
    client.simple("SET timezone = 'UTC'")?;
    let mut random = random()?;
    // Partitions: below the first, between the first and the second, from the third on, the rest.
    let rows: [(&str, [&str; 3]); 7] = [
        ("bigint", ["-5", "10", "20"]),
        ("numeric", ["1.5", "10", "Infinity"]),
        ("text", ["B", "a", "é"]),
        ("date", ["2024-01-01", "2024-06-01", "2025-01-01"]),
        ("timestamp", ["2024-01-01 00:00:00", "2024-06-01 12:00:00.5", "infinity"]),
        (
            "uuid",
            [
                "10000000-0000-0000-0000-000000000000",
                "80000000-0000-0000-0000-000000000000",
                "f0000000-0000-0000-0000-000000000000",
            ],
        ),
        ("double precision", ["-1.5", "0", "Infinity"]),
    ];
    for (name, limits) in rows {
        if name == "numeric" && postgres.install().major() < 14 {
            continue;
        }
        let data_type = Type::named(name).with_context(|| format!("the type {name}"))?;
        let [a, b, c] = limits;
        client.rows(&format!(
            "DROP TABLE IF EXISTS t; CREATE TABLE t (k {name}) PARTITION BY RANGE (k); \
             CREATE TABLE t_0 PARTITION OF t FOR VALUES FROM (MINVALUE) TO ('{a}'); \
             CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM ('{a}') TO ('{b}'); \
             CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM ('{c}') TO (MAXVALUE); \
             CREATE TABLE t_3 PARTITION OF t DEFAULT"
        ))?;
        let rule = rule(
            name,
            ShardingAlgorithm::Range,
            vec![
                KeyedShard { from: Some(key(c)), ..keyed(2) },
                KeyedShard { to: Some(key(a)), ..keyed(0) },
                KeyedShard { default: true, ..keyed(3) },
                KeyedShard { from: Some(key(a)), to: Some(key(b)), ..keyed(1) },
            ],
        );
        let placement = Placement::new(&rule, 4, &data_type, &Collation::Bytes)?;
        let texts: Vec<String> = (0..300).map(|_| keys::near(&mut random, name, &limits)).collect();
        check(&mut client, &data_type, &placement, name, &texts).with_context(|| name)?;
        let (low, high) = (read(&data_type, a)?, read(&data_type, b)?);
        ensure!(placement.place_between(low.as_ref(), low.as_ref()) == Ok(vec![1, 3]), "{name}");
        ensure!(placement.place_between(None, high.as_ref()) == Ok(vec![0, 1, 3]), "{name}");
        ensure!(placement.place_between(high.as_ref(), high.as_ref()) == Ok(vec![3]), "{name}");
    }
    Ok(())
}

#[test]
fn what_has_no_shard_is_an_error() -> Result<()> {
    let integer = Type::named("integer").context("integer")?;
    let list = KeyedShard { values: vec![KeyText::Integer(1)], ..keyed(0) };
    let placement = Placement::new(
        &rule("integer", ShardingAlgorithm::List, vec![list]),
        2,
        &integer,
        &Collation::Bytes,
    )?;
    assert_eq!(placement.place(Some(&Value::Int4(1))), Ok(0));
    assert_eq!(placement.place(Some(&Value::Int4(2))), Err(Unplaced::NoShard));
    assert_eq!(placement.place(None), Err(Unplaced::Null));
    let range = KeyedShard { from: Some(KeyText::Integer(1)), ..keyed(1) };
    let placement = Placement::new(
        &rule("integer", ShardingAlgorithm::Range, vec![range]),
        2,
        &integer,
        &Collation::Bytes,
    )?;
    assert_eq!(placement.place(Some(&Value::Int4(0))), Err(Unplaced::NoShard));
    assert_eq!(placement.place(Some(&Value::Int8(1))), Err(Unplaced::WrongType));
    Ok(())
}

#[test]
fn what_cannot_be_hashed_is_refused() -> Result<()> {
    let hash = rule("x", ShardingAlgorithm::Hash, Vec::new());
    let mood = Type::new(70_000, "mood", Kind::Enum(Box::new([(1, "ok".into())])));
    let refused = Placement::new(&hash, 2, &mood, &Collation::Bytes).err();
    assert_eq!(refused, Some(PlacementError::HashOfEnum { type_name: "mood".into() }));
    let json = Type::named("json").context("json")?;
    let refused = Placement::new(&hash, 2, &json, &Collation::Bytes).err();
    assert_eq!(refused, Some(PlacementError::NotHashable { type_name: "json".into() }));
    let facts = CollationFacts {
        name: "ci".to_owned(),
        provider: 'i',
        locale: "und-u-ks-level2".to_owned(),
        deterministic: false,
        version: String::new(),
    };
    let text = Type::named("text").context("text")?;
    let refused = Placement::new(&hash, 2, &text, &facts.resolve()).err();
    assert_eq!(refused, Some(PlacementError::Nondeterministic));
    Ok(())
}
