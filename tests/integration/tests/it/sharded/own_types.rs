//! Arrays of the database's own types in binary, where these have other OIDs on each shard.

use anyhow::{Context, Result};
use pgherd_harness::raw::frontend;
use pgherd_harness::sharded::ShardedCluster;

use super::compare::Twins;

const SCHEMA: &str = "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN positive AS integer CHECK (VALUE > 0); \
    CREATE TABLE notes (user_id bigint PRIMARY KEY, moods mood[], numbers positive[], number positive); \
    INSERT INTO notes SELECT i, CASE WHEN i % 5 = 0 THEN NULL WHEN i % 5 = 1 THEN '{}' \
      ELSE ARRAY['glad', NULL, 'sad']::mood[] END, ARRAY[i, i + 1], i FROM generate_series(1, 40) i;";

/// A Bind of one parameter in binary, with results in binary.
fn bind(value: &[u8]) -> Vec<u8> {
    let mut body = b"\0\0\0\x01\0\x01\0\x01".to_vec();
    body.extend_from_slice(&u32::try_from(value.len()).expect("short").to_be_bytes());
    body.extend_from_slice(value);
    body.extend_from_slice(b"\0\x01\0\x01");
    let length = u32::try_from(body.len() + 4).expect("short");
    [&b"B"[..], &length.to_be_bytes()[..], &body].concat()
}

#[test]
fn clients_see_the_types_of_the_first_shard() -> Result<()> {
    let cluster =
        ShardedCluster::builder(3).servers(2).schema(SCHEMA).sharded_by("user_id").start()?;
    let mut twins = Twins::of(cluster)?;
    let oid_of = "SELECT 'mood'::regtype::oid::bigint";
    let oids =
        (0..3).map(|it| twins.cluster.shard(it)?.value(oid_of)).collect::<Result<Vec<_>>>()?;
    assert_ne!(oids[0], oids[1]);
    let mood: u32 = oids[0].parse()?;
    let client = &mut twins.sharded;
    let array = |words: &[&[u8]]| {
        let mut out = [&[0, 0, 0, 1, 0, 0, 0, 0][..], &mood.to_be_bytes()].concat();
        out.extend_from_slice(&u32::try_from(words.len()).expect("few").to_be_bytes());
        out.extend_from_slice(&1_u32.to_be_bytes());
        for word in words {
            out.extend_from_slice(&u32::try_from(word.len()).expect("short").to_be_bytes());
            out.extend_from_slice(word);
        }
        out
    };
    for key in 1_i64..=20 {
        let sql = "SELECT moods, numbers FROM notes WHERE user_id = $1";
        let all = [
            frontend::parse("", sql, &[20]),
            bind(&key.to_be_bytes()),
            frontend::execute("", 0),
            frontend::sync(),
        ];
        client.send(&all.concat())?;
        let messages = client.until_ready(1)?;
        let row = messages.iter().find(|it| it.tag == b'D');
        let row = row.with_context(|| format!("a row of {key}: {messages:?}"))?;
        // The number of columns, and the length of the first value, go before it.
        match key % 5 {
            0 => assert_eq!(row.body[2..6], [0xff; 4]),
            _ => assert_eq!(row.body[14..18], mood.to_be_bytes(), "{key}"),
        }
        // As a parameter, for one shard and in a write.
        let sql = format!("UPDATE notes SET moods = $1 WHERE user_id = {key} RETURNING moods");
        let all = [
            frontend::parse("", &sql, &[]),
            bind(&array(&[b"sad", b"sad"])),
            frontend::execute("", 0),
            frontend::sync(),
        ];
        client.send(&all.concat())?;
        let messages = client.until_ready(1)?;
        let row = messages.iter().find(|it| it.tag == b'D');
        let row = row.with_context(|| format!("a row of {key}: {messages:?}"))?;
        assert_eq!(row.body[6..], array(&[b"sad", b"sad"]), "{key}");
    }
    let sql = "SELECT count(*) FROM notes WHERE moods = '{sad,sad}'";
    assert_eq!(client.value(sql)?, "20");
    // Over all shards, by their values and finished by one Postgres.
    for sql in [
        "SELECT moods FROM notes WHERE moods = $1 ORDER BY user_id",
        "SELECT DISTINCT moods FROM notes WHERE moods = $1",
    ] {
        let all = [
            frontend::parse("", sql, &[]),
            bind(&array(&[b"sad", b"sad"])),
            frontend::execute("", 0),
            frontend::sync(),
        ];
        client.send(&all.concat())?;
        let messages = client.until_ready(1)?;
        let mut rows = messages.iter().filter(|it| it.tag == b'D');
        assert!(rows.clone().count() > 0, "{sql}: {messages:?}");
        assert!(rows.all(|it| it.body[6..] == array(&[b"sad", b"sad"])), "{sql}");
    }
    Ok(())
}
