//! Statements of SQL that concern the session or all shards: cursors, PREPARE, EXPLAIN, DDL.

use anyhow::Result;
use pgherd_harness::raw::frontend::{
    bind, bind_formats, describe_statement, execute, parse, query, sync,
};
use pgherd_harness::sharded::ShardedCluster;

use super::compare::Twins;

#[test]
fn cursors() -> Result<()> {
    let mut twins = Twins::start(3)?;
    for sql in [
        "DECLARE c CURSOR FOR SELECT 1",
        "FETCH c",
        "BEGIN",
        "DECLARE c SCROLL CURSOR FOR SELECT id, name FROM users WHERE id < 8 ORDER BY id",
        "FETCH c",
        "FETCH 2 FROM c",
        "FETCH BACKWARD 2 FROM c",
        "MOVE LAST IN c",
        "FETCH c",
        "FETCH PRIOR FROM c",
        "FETCH ABSOLUTE 3 FROM c",
        "FETCH RELATIVE 0 FROM c",
        "FETCH ALL FROM c",
        "DECLARE one CURSOR FOR SELECT name FROM users WHERE id = 5",
        "FETCH ALL FROM one",
        "CLOSE one",
        "DECLARE b NO SCROLL CURSOR FOR SELECT count(*) FROM orders",
        "FETCH NEXT FROM b",
        "CLOSE ALL",
        "FETCH c",
        "ROLLBACK",
        "BEGIN",
        "DECLARE c CURSOR FOR SELECT count(*) FROM orders",
        "DECLARE c CURSOR FOR SELECT count(*) FROM orders",
        "ROLLBACK",
        "CLOSE c",
    ] {
        twins.same_query(sql);
    }
    twins.refuses("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "WITH HOLD");
    let fetch = |sql: &str| {
        [parse("", sql, &[]), describe_statement(""), bind("", "", &[]), execute("", 0)].concat()
    };
    let bytes = [
        query("BEGIN"),
        fetch("DECLARE c CURSOR FOR SELECT id, total FROM orders ORDER BY id"),
        sync(),
        fetch("FETCH 3 FROM c"),
        sync(),
        query("COMMIT"),
    ]
    .concat();
    twins.same("a cursor in the extended protocol", &bytes, 4);
    Ok(())
}

#[test]
fn prepare_and_execute() -> Result<()> {
    let mut twins = Twins::start(3)?;
    for sql in [
        "PREPARE p AS SELECT name FROM users WHERE id = $1",
        "EXECUTE p(3)",
        "EXECUTE p(1 + 3)",
        "EXECUTE p",
        "EXECUTE p(1, 2)",
        "PREPARE p AS SELECT 1",
        "PREPARE q (numeric) AS SELECT count(*) FROM orders WHERE total > $1",
        "EXECUTE q(100)",
        "PREPARE w (bigint, int) AS UPDATE users SET balance = $2 WHERE id = $1 RETURNING balance",
        "EXECUTE w(1, 7)",
        "DEALLOCATE p",
        "EXECUTE p(1)",
        "DEALLOCATE ALL",
        "EXECUTE q(1)",
    ] {
        twins.same_query(sql);
    }
    twins.same_query("PREPARE p AS SELECT id, name FROM users WHERE id = $1");
    twins.same_query("PREPARE q (numeric) AS SELECT count(*) FROM orders WHERE total > $1");
    for sql in ["EXECUTE p(3)", "EXECUTE q(100)"] {
        let bytes = [
            parse("", sql, &[]),
            describe_statement(""),
            bind_formats("", "", &[], 0, 1),
            execute("", 0),
            sync(),
        ]
        .concat();
        twins.same(&format!("{sql} in binary"), &bytes, 1);
    }
    Ok(())
}

#[test]
fn explain_shows_the_plans_of_the_shards() -> Result<()> {
    let mut twins = Twins::start(3)?;
    let lines =
        twins.sharded.rows("EXPLAIN (COSTS OFF) SELECT country, count(*) FROM users GROUP BY 1")?;
    let text = lines.concat().join("\n");
    for part in ["shards 0, 1, 2", "Shard 0", "Shard 2", "on users"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    twins.same_query("EXPLAIN (COSTS OFF) SELECT * FROM nowhere");
    let lines = twins.sharded.rows("EXPLAIN ANALYZE SELECT * FROM users WHERE id = 1")?;
    assert!(lines.concat().join("\n").contains("actual time"));
    Ok(())
}

#[test]
fn writes_to_all_shards() -> Result<()> {
    let cluster = ShardedCluster::builder(3).setting("max_prepared_transactions", "100").start()?;
    let mut twins = Twins::of(cluster)?;
    for sql in [
        "UPDATE users SET balance = balance + 1",
        "SELECT sum(balance), count(*) FROM users",
        "INSERT INTO users SELECT i, 'x' || i, 'at', i FROM generate_series(200, 220) i",
        "INSERT INTO users VALUES (300, 'a', 'at', 1), (301, 'b', 'de', 2), (302, 'c', 'fr', 3) \
         RETURNING id, name",
        "SELECT id, name FROM users WHERE id >= 200 ORDER BY id",
        "DELETE FROM users WHERE id >= 300 RETURNING id",
        "INSERT INTO countries VALUES ('it', 'Italy')",
        "SELECT * FROM countries ORDER BY code",
        "INSERT INTO users VALUES (400, 'a', 'at', 1), (1, 'b', 'de', 2)",
        "SELECT count(*) FROM users WHERE id = 400",
        "BEGIN",
        "UPDATE users SET balance = 0 WHERE id < 30",
        "SELECT count(*) FROM users WHERE balance = 0",
        "ROLLBACK",
        "SELECT count(*) FROM users WHERE balance = 0",
        // The schema.
        "CREATE TABLE more (user_id bigint PRIMARY KEY, n int)",
        "INSERT INTO more SELECT i, i FROM generate_series(1, 50) i",
        "SELECT count(*), sum(n) FROM more",
        "ALTER TABLE more ADD COLUMN t text DEFAULT 'x'",
        "SELECT t, count(*) FROM more GROUP BY t",
        "CREATE TABLE more (user_id bigint)",
        "DROP TABLE IF EXISTS nothing",
        "BEGIN; CREATE TABLE inside (user_id bigint, n int); INSERT INTO inside VALUES (1, 1), (2, 2), (3, 3); COMMIT",
        "SELECT * FROM inside ORDER BY user_id",
        "BEGIN",
        "ALTER TABLE inside ADD COLUMN more int",
        "UPDATE inside SET more = n",
        "SELECT sum(more) FROM inside",
        "ROLLBACK",
        "SELECT * FROM inside ORDER BY user_id",
        "TRUNCATE more",
        "SELECT count(*) FROM more",
        "DROP TABLE more, inside",
        "SELECT * FROM more",
        "VACUUM users",
        "BEGIN",
        "VACUUM users",
        "ROLLBACK",
    ] {
        twins.same_query(sql);
    }
    Ok(())
}

#[test]
fn clients_see_one_oid_for_a_type() -> Result<()> {
    let cluster = ShardedCluster::builder(3)
        .schema("CREATE TABLE t (id bigint PRIMARY KEY, n int)")
        .sharded("t", "id")
        .start()?;
    // Another number of types on each shard before those that matter.
    for shard in 0..3 {
        let mut client = cluster.shard(shard)?;
        for other in 0..shard {
            client.rows(&format!("CREATE TYPE other_{other} AS ENUM ('x')"))?;
        }
        client.rows("CREATE TYPE mood AS ENUM ('sad', 'ok')")?;
        client.rows("ALTER TABLE t ADD COLUMN m mood, ADD COLUMN a mood[]")?;
    }
    let proxy = cluster.proxy()?;
    let mut client = pgherd_harness::raw::Client::login(proxy.addr())?;
    let oid = client.value("SELECT oid FROM pg_type WHERE typname = 'mood'")?;
    let of_first = cluster.shard(0)?.value("SELECT oid FROM pg_type WHERE typname = 'mood'")?;
    assert_eq!(oid, of_first);
    let described = |messages: &[pgherd_harness::raw::Message]| -> Vec<u8> {
        messages.iter().find(|it| it.tag == b'T').map(|it| it.body.clone()).unwrap_or_default()
    };
    let mut seen = Vec::new();
    for id in 1..20 {
        client.rows(&format!("INSERT INTO t VALUES ({id}, 1, 'ok', '{{ok,sad}}')"))?;
        let messages = client.simple(&format!("SELECT id, m, a FROM t WHERE id = {id}"))?;
        seen.push(described(&messages));
    }
    seen.dedup();
    assert_eq!(seen.len(), 1);
    let type_oid: u32 = oid.parse()?;
    for id in 1..20_i64 {
        let bytes = [
            parse("", "SELECT m FROM t WHERE id = $1 AND m = $2", &[20, type_oid]),
            describe_statement(""),
            bind("", "", &[Some(id.to_string().as_bytes()), Some(b"ok")]),
            execute("", 0),
            sync(),
        ]
        .concat();
        client.send(&bytes)?;
        let messages = client.until_ready(1)?;
        let tags: Vec<u8> = messages.iter().map(|it| it.tag).collect();
        assert_eq!(String::from_utf8_lossy(&tags), "1tT2DCZ", "{messages:?}");
        let body = described(&messages);
        assert_eq!(body[2 + 2 + 6..2 + 2 + 10], type_oid.to_be_bytes());
    }
    Ok(())
}

#[test]
fn what_others_do_to_the_schema_is_noticed() -> Result<()> {
    let cluster = ShardedCluster::start(3)?;
    let mut twins = Twins::of(cluster)?;
    twins.same_query("SELECT count(*) FROM users");
    let everywhere = |twins: &mut Twins, sql: &str| -> Result<()> {
        for shard in 0..3 {
            twins.cluster.shard(shard)?.rows(sql)?;
        }
        twins.cluster.whole()?.rows(sql)?;
        Ok(())
    };
    everywhere(&mut twins, "CREATE TABLE more (user_id bigint, n int)")?;
    twins.same_query("SELECT count(*) FROM more");
    everywhere(&mut twins, "ALTER TABLE more ADD COLUMN t text")?;
    twins.same_query("SELECT count(t) FROM more");
    Ok(())
}

#[test]
fn statements_stay_parsed_on_their_connections() -> Result<()> {
    let cluster = ShardedCluster::start(2)?;
    let config = cluster.config().pool_size(1);
    let proxy = pgherd_harness::proxy::Proxy::start(&config.to_toml())?;
    let mut client = pgherd_harness::raw::Client::login(proxy.addr())?;
    client.send(&[parse("s", "SELECT name FROM users WHERE id = $1", &[]), sync()].concat())?;
    client.until_ready(1)?;
    for id in (1..20).cycle().take(60) {
        let id = id.to_string();
        client.send(&[bind("", "s", &[Some(id.as_bytes())]), execute("", 0), sync()].concat())?;
        let messages = client.until_ready(1)?;
        let row = messages[1].data_row().map(|row| row[0].map(<[u8]>::to_vec));
        assert_eq!(row, Some(Some(format!("user {id}").into_bytes())));
    }
    for shard in 0..2 {
        let sql =
            format!("SET pgherd.shard = {shard}; SELECT count(*) FROM pg_prepared_statements");
        let (set, count) = sql.split_once("; ").unwrap_or_default();
        client.rows(set)?;
        assert_eq!(client.value(count)?, "1", "shard {shard}");
    }
    Ok(())
}
