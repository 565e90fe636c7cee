//! Tables placed by rules of different kinds, joined, compared and written in every way: what one
//! Postgres says, or `0A000`.

use anyhow::{Context, Result, ensure};
use pgherd_harness::raw::frontend::{bind, execute, parse, sync};
use pgherd_harness::raw::{Client, Message};
use pgherd_harness::sharded::{Builder, ShardedCluster};

use super::compare::{Twins, said};

const LIST: &str = "algorithm = \"list\", shards = [{ shard = 0, values = [1, 2, 3] }, \
    { shard = 1, values = [4, 5] }, { shard = 2, default = true }]";
const LIST_ON: &str = "CASE WHEN k IN (1, 2, 3) THEN 0 WHEN k IN (4, 5) THEN 1 ELSE 2 END";
const OTHER: &str = "algorithm = \"list\", shards = [{ shard = 2, values = [1, 2, 3] }, \
    { shard = 1, nulls = true, default = true }]";
const OTHER_ON: &str = "CASE WHEN k IN (1, 2, 3) THEN 2 ELSE 1 END";
const RANGE: &str = "algorithm = \"range\", shards = [{ shard = 1, to = 4 }, \
    { shard = 0, from = 4, to = 8 }, { shard = 2, from = 8 }, { shard = 0, default = true }]";
const RANGE_ON: &str = "CASE WHEN k < 4 THEN 1 WHEN k < 8 THEN 0 WHEN k >= 8 THEN 2 ELSE 0 END";

/// Tables with a `bigint` key `k`: each has the rows of all others.
const NUMBERS: &[(&str, Option<(&str, &str)>)] = &[
    ("h", None),
    ("h2", None),
    ("l", Some((LIST, LIST_ON))),
    ("l2", Some((LIST, LIST_ON))),
    ("o", Some((OTHER, OTHER_ON))),
    ("r", Some((RANGE, RANGE_ON))),
    ("r2", Some((RANGE, RANGE_ON))),
];

fn numbers() -> Result<Twins> {
    let mut schema = String::from("CREATE TABLE t (k text, n int);");
    let mut builder = ShardedCluster::builder(3).setting("max_prepared_transactions", "20");
    for (table, _) in NUMBERS {
        schema.push_str(&format!(
            "CREATE TABLE {table} (k bigint, n int);
             INSERT INTO {table} SELECT i, 10 * i FROM generate_series(-2, 12) i;
             INSERT INTO {table} VALUES (NULL, 0), (3, 31), (9, 91);"
        ));
    }
    schema.push_str("INSERT INTO t SELECT i::text, i FROM generate_series(1, 12) i;");
    builder = builder.schema(&schema);
    for (table, rule) in NUMBERS {
        builder = match rule {
            Some((rule, on)) => {
                builder.placed(table, &format!("column = \"k\", type = \"bigint\", {rule}"), on)
            }
            None => builder,
        };
    }
    // The same rule for a number and for its text.
    builder = builder.sharded("h", "k").sharded("h2", "k").sharded_as("t", "k", "text");
    Twins::of(builder.start()?)
}

/// The same answer of both, or a refusal, if that is allowed.
#[track_caller]
fn exact(twins: &mut Twins, what: &str, bytes: &[u8], may_refuse: bool) -> Result<bool> {
    let ask = |client: &mut Client| -> Result<Vec<Message>> {
        client.send(bytes)?;
        client.until_ready(1)
    };
    let (expected, given) = (ask(&mut twins.whole)?, ask(&mut twins.sharded).context("dropped")?);
    let refused = given.iter().any(|it| it.sqlstate().as_deref() == Some("0A000"));
    if refused && may_refuse {
        return Ok(false);
    }
    let (expected, given) = (said(&expected), said(&given));
    ensure!(given == expected, "{what}\n  given    {given:?}\n  expected {expected:?}");
    Ok(true)
}

#[track_caller]
fn same(twins: &mut Twins, sql: &str) -> Result<()> {
    exact(twins, sql, &pgherd_harness::raw::frontend::query(sql), false).map(|_| ())
}

#[test]
fn each_kind_of_rule_joined_with_each_other() -> Result<()> {
    let mut twins = numbers()?;
    for (a, _) in NUMBERS {
        for (b, _) in NUMBERS {
            for sql in [
                format!("SELECT x.k + 0 AS k, x.n - y.n AS n FROM {a} x JOIN {b} y ON x.k = y.k"),
                format!("SELECT count(*), sum(y.n) FROM {a} x LEFT JOIN {b} y USING (k)"),
                format!("SELECT count(x.n) FROM {a} x FULL JOIN {b} y ON x.k = y.k AND x.n = y.n"),
                format!("SELECT n FROM {a} WHERE k IN (SELECT k FROM {b} WHERE n > 30)"),
                format!(
                    "SELECT n FROM {a} x WHERE NOT EXISTS (SELECT 1 FROM {b} y WHERE y.k = x.k AND y.n > 50)"
                ),
                format!(
                    "SELECT x.k + 0 AS k, count(*) FROM {a} x, {b} y WHERE y.k = x.k GROUP BY x.k"
                ),
                format!("SELECT k + 0 AS k FROM {a} INTERSECT SELECT k FROM {b} WHERE k > 3"),
                format!("SELECT x.n FROM {a} x JOIN {b} y ON y.k = x.k WHERE x.k = 4"),
                format!("SELECT x.n FROM {a} x JOIN {b} y ON y.k = x.k WHERE y.k IN (2, 9)"),
                format!(
                    "SELECT x.n FROM {a} x, LATERAL (SELECT n FROM {b} y WHERE y.k = x.k ORDER BY n LIMIT 1) z WHERE z.n > 0"
                ),
                format!(
                    "SELECT sum(n) OVER (PARTITION BY x.k) AS s FROM {a} x JOIN (SELECT k FROM {b}) y USING (k)"
                ),
            ] {
                same(&mut twins, &sql)?;
            }
            same(&mut twins, &format!("SELECT t.n FROM t JOIN {a} x ON x.k::text = t.k"))?;
        }
    }
    Ok(())
}

#[test]
fn each_kind_of_rule_written_from_each_other() -> Result<()> {
    let mut twins = numbers()?;
    let (mut exact_ones, mut all) = (0, 0);
    for (a, _) in NUMBERS {
        for (b, _) in NUMBERS.iter().filter(|(b, _)| b != a) {
            for sql in [
                format!("INSERT INTO {a} SELECT k, n + 1 FROM {b} WHERE k IS NOT NULL"),
                format!("INSERT INTO {a} (n, k) SELECT n, k + 1 FROM {b} WHERE k > 2"),
                format!(
                    "UPDATE {a} SET n = y.n + 1 FROM {b} y WHERE y.k = {a}.k AND y.k <> 3 AND y.k <> 9"
                ),
                format!("DELETE FROM {a} USING {b} y WHERE y.k = {a}.k AND y.n > 40"),
                format!("DELETE FROM {a} WHERE k IN (SELECT k FROM {b} WHERE n < 20)"),
                format!(
                    "MERGE INTO {a} USING {b} y ON y.k = {a}.k AND y.n = {a}.n WHEN MATCHED THEN UPDATE SET n = 1"
                ),
                format!(
                    "MERGE INTO {a} USING {b} y ON y.k = {a}.k WHEN NOT MATCHED THEN INSERT VALUES (y.k, y.n)"
                ),
                format!("INSERT INTO t SELECT k, n FROM {a} WHERE k > 3"),
                format!("UPDATE {a} SET k = k + 1 WHERE n IN (SELECT n FROM {b} WHERE n > 50)"),
            ] {
                same(&mut twins, "BEGIN")?;
                let bytes = pgherd_harness::raw::frontend::query(&sql);
                all += 1;
                if exact(&mut twins, &sql, &bytes, true)? {
                    exact_ones += 1;
                    for table in [*a, "t"] {
                        let look = format!("SELECT k IS NULL AS null, n FROM {table}");
                        same(&mut twins, &look).with_context(|| sql.clone())?;
                        // Where they can be found again.
                        let key = format!("SELECT count(*) FROM {table} WHERE k IN ('4', '9')");
                        same(&mut twins, &key).with_context(|| sql.clone())?;
                    }
                }
                for client in [&mut twins.whole, &mut twins.sharded] {
                    client.simple("ROLLBACK")?;
                }
            }
        }
    }
    ensure!(exact_ones * 10 > all * 6, "{exact_ones} of {all} are exact");
    Ok(())
}

#[test]
fn conditions_on_keys_of_each_kind() -> Result<()> {
    let mut twins = numbers()?;
    for (table, _) in NUMBERS {
        for condition in [
            "k = 4",
            "4 = k",
            "k = '4'",
            "k = 4.0",
            "k = 1.5",
            "k = 4::numeric",
            "k = 4.2::int",
            "k = 4::float8",
            "k = '4'::int2",
            "k = +4",
            "k = -2",
            "k = - 2",
            "k = 2 + 2",
            "k + 0 = 4",
            "abs(k) = 2",
            "k IN (1, 5, 9, 99)",
            "k IN (1, NULL)",
            "k IN (1.5, 4)",
            "k NOT IN (1, 2)",
            "k = ANY ('{1,8}')",
            "k = ANY (ARRAY[3, 9])",
            "k = ANY (ARRAY[3.5, 9])",
            "k <> ALL ('{1}')",
            "k = 1 OR k = 8",
            "k = 1 OR n = 90",
            "k = 1 AND k = 8",
            "k IS NULL",
            "k = NULL",
            "k IS NOT DISTINCT FROM 4",
            "k IS DISTINCT FROM 4",
            "NOT k = 4",
            "k BETWEEN 3 AND 5",
            "k = 99999999999999999999",
            "k = 9223372036854775807",
            "(k, n) = (4, 40)",
            "k = n / 10",
            "k = (SELECT 4)",
            "k = (SELECT max(k) FROM h)",
            "coalesce(k, 4) = 4",
            "k::text = '4'",
            "(k = 4) IS NOT TRUE",
            "CASE WHEN k = 4 THEN n > 1 ELSE n = 10 END",
            "k = 4 AND k IS NULL",
        ] {
            same(&mut twins, &format!("SELECT k + 0 AS k, n FROM {table} WHERE {condition}"))?;
        }
        for (oid, value) in
            [(1016, "{1,9}"), (1007, "{4}"), (1231, "{4,1.5}"), (1231, "{9.0}"), (1022, "{8,2}")]
        {
            let sql = format!("SELECT n FROM {table} WHERE k = ANY ($1)");
            let bytes = [parse("", &sql, &[oid]), bind("", "", &[Some(value.as_bytes())])];
            let bytes = [bytes.concat(), execute("", 0), sync()].concat();
            exact(&mut twins, &format!("{sql} {oid} {value}"), &bytes, false)?;
        }
        for (types, values) in [
            (&[20][..], &["4", "9", "-9999"][..]),
            (&[23], &["4"]),
            (&[21], &["1"]),
            (&[1700], &["4", "1.5", "4.0"]),
            (&[701], &["4", "1.5"]),
            (&[], &["4", "x"]),
        ] {
            for value in values {
                let sql = format!("SELECT n FROM {table} WHERE k = $1");
                let bytes = [parse("", &sql, types), bind("", "", &[Some(value.as_bytes())])];
                let bytes = [bytes.concat(), execute("", 0), sync()].concat();
                exact(&mut twins, &format!("{sql} {types:?} {value}"), &bytes, false)?;
            }
        }
    }
    Ok(())
}

/// Keys of types other than integers: hashed, except where a list is said.
fn others() -> Builder {
    ShardedCluster::builder(3)
        .setting("max_prepared_transactions", "20")
        .schema(
            "CREATE DOMAIN id AS bigint CHECK (VALUE <> 13); CREATE TYPE mood AS ENUM ('a', 'b');
             CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
             CREATE TABLE f8 (k float8, n int); CREATE TABLE num (k numeric, n int);
             CREATE TABLE tz (k timestamptz, n int); CREATE TABLE ts (k timestamp, n int);
             CREATE TABLE c4 (k char(4), n int); CREATE TABLE vc (k varchar(8), n int);
             CREATE TABLE tx (k text, n int); CREATE TABLE u (k uuid, n int);
             CREATE TABLE d (k date, n int); CREATE TABLE dm (k id, n int);
             CREATE TABLE en (k mood, n int); CREATE TABLE ci (k text COLLATE nocase, n int);
             CREATE TABLE en_hash (k mood, n int);",
        )
        .sharded_as("f8", "k", "float8")
        .sharded_as("num", "k", "numeric")
        .sharded_as("tz", "k", "timestamptz")
        .sharded_as("ts", "k", "timestamp")
        .sharded_as("c4", "k", "char(4)")
        .sharded_as("vc", "k", "varchar")
        .sharded_as("tx", "k", "text")
        .sharded_as("u", "k", "uuid")
        .sharded_as("d", "k", "date")
        .sharded_as("dm", "k", "bigint")
        .placed("ci", "column = \"k\", type = \"text\"", "0")
        .placed("en_hash", "column = \"k\", type = \"mood\"", "0")
        .placed(
            "en",
            "column = \"k\", type = \"mood\", algorithm = \"list\", \
             shards = [{ shard = 0, values = [\"a\"] }, { shard = 2, default = true }]",
            "0",
        )
}

#[test]
fn keys_of_other_types() -> Result<()> {
    let mut twins = Twins::of(others().start()?)?;
    let rows: &[(&str, &[&str], &[&str])] = &[
        (
            "f8",
            &["0", "-0", "NaN", "-Infinity", "1.5"],
            &["k = 0", "k = '-0'", "k = 'NaN'", "k = 1.5"],
        ),
        (
            "num",
            &["1", "1.0", "1.50", "NaN", "0", "-0.0"],
            &["k = 1.00", "k = 1", "k = 1.5::float8", "k = 'NaN'"],
        ),
        (
            "tz",
            &["2024-03-31 02:30", "2024-10-27 02:30+01", "infinity"],
            &["k = '2024-10-27 01:30+00'", "k = '2024-03-31 02:30'", "k::date = '2024-10-27'"],
        ),
        ("ts", &["2024-03-31 02:30", "-infinity"], &["k = '2024-03-31 02:30'"]),
        (
            "c4",
            &["a", "a ", "ab  ", ""],
            &["k = 'a'", "k = 'a   '", "k = 'ab'::text", "k = 'a'::varchar", "k LIKE 'a%'"],
        ),
        (
            "vc",
            &["a", "a ", "B"],
            &[
                "k = 'a'",
                "k = 'a '",
                "k = 'a'::text",
                "k = 'a '::char(4)",
                "k = 'a'::name",
                "lower(k) = 'b'",
            ],
        ),
        (
            "tx",
            &["a", "a ", "B", ""],
            &[
                "k = 'a'",
                "k = 'a '",
                "k = 'a '::bpchar",
                "k = 'a'::varchar(1)",
                "k = 'a'::\"char\"",
                "k = 'ab'::varchar(1)",
            ],
        ),
        (
            "u",
            &["00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"],
            &[
                "k = '0000000000000000000000000000000A'",
                "k = '{00000000-0000-0000-0000-00000000000b}'",
            ],
        ),
        (
            "d",
            &["2024-02-29", "infinity"],
            &["k = '2024-02-29'", "k = timestamp '2024-02-29 00:00'"],
        ),
        ("dm", &["1", "2"], &["k = 1", "k = 1::id", "k = '2'", "k IN (1, 2)"]),
        ("en", &["a", "b"], &["k = 'a'", "k > 'a'"]),
    ];
    for zone in ["UTC", "Europe/Rome"] {
        for client in [&mut twins.whole, &mut twins.sharded] {
            client.rows(&format!("SET TimeZone = '{zone}'"))?;
        }
        for (table, values, conditions) in rows {
            for (n, value) in values.iter().enumerate() {
                same(&mut twins, &format!("INSERT INTO {table} VALUES ('{value}', {n})"))?;
                let sql = format!("INSERT INTO {table} VALUES ($1, {n})");
                let bytes = [parse("", &sql, &[]), bind("", "", &[Some(value.as_bytes())])];
                let bytes = [bytes.concat(), execute("", 0), sync()].concat();
                exact(&mut twins, &sql, &bytes, false)?;
            }
            for condition in *conditions {
                for sql in [
                    format!("SELECT count(*), sum(n) FROM {table} WHERE {condition}"),
                    format!("SELECT n FROM {table} WHERE {condition}"),
                    format!(
                        "SELECT count(*) FROM {table} x JOIN {table} y USING (k) WHERE x.{condition}"
                    ),
                    format!("UPDATE {table} SET n = n + 1 WHERE {condition}"),
                ] {
                    // What one Postgres cannot parse, such as `x.lower(k)`, neither can.
                    same(&mut twins, &sql)?;
                }
            }
            let groups = format!("SELECT count(*) FROM (SELECT k FROM {table} GROUP BY k) x");
            same(&mut twins, &groups)?;
        }
        for sql in [
            "SELECT count(*) FROM vc JOIN tx USING (k)",
            "SELECT count(*) FROM tx JOIN c4 ON c4.k = tx.k",
            "SELECT count(*) FROM vc JOIN c4 ON vc.k = c4.k::text",
            "SELECT count(*) FROM tz JOIN ts ON tz.k = ts.k",
            "SELECT count(*) FROM d JOIN ts ON d.k = ts.k",
            "SELECT count(*) FROM f8 JOIN num ON f8.k = num.k",
            "SELECT count(*) FROM dm JOIN num ON dm.k = num.k",
        ] {
            same(&mut twins, sql)?;
        }
    }
    for (table, oid, values) in
        [("tx", 1014, "{\"a \",B}"), ("vc", 1014, "{a}"), ("tx", 1009, "{a}")]
    {
        let sql = format!("SELECT n FROM {table} WHERE k = ANY ($1)");
        let bytes = [parse("", &sql, &[oid]), bind("", "", &[Some(values.as_bytes())])];
        let bytes = [bytes.concat(), execute("", 0), sync()].concat();
        exact(&mut twins, &format!("{sql} {oid} {values}"), &bytes, false)?;
    }
    // Rows of Postgres's own partitions: the domain of an integer lies as the integer.
    for table in ["f8", "num", "tz", "c4", "dm"] {
        for shard in 0..3 {
            let mut client = twins.cluster.shard(shard)?;
            client.rows(&format!("CREATE TEMP TABLE p (LIKE {table}) PARTITION BY HASH (k)"))?;
            let strays = client.value(&format!(
                "SELECT count(*) FROM {table} WHERE NOT satisfies_hash_partition('p'::regclass, 3, {shard}, k)"
            ))?;
            ensure!(strays == "0", "{table}: {strays} strays on shard {shard}");
        }
    }
    Ok(())
}

/// What no rule can place says so, to whoever names it.
#[test]
fn keys_that_cannot_be_placed_are_refused() -> Result<()> {
    let mut twins = Twins::of(others().start()?)?;
    for sql in ["SELECT * FROM ci", "INSERT INTO ci VALUES ('a', 1)", "DELETE FROM ci"] {
        twins.refuses(sql, "nondeterministic collation");
    }
    for sql in ["SELECT * FROM en_hash", "INSERT INTO en_hash VALUES ('a', 1)"] {
        twins.refuses(sql, "enum");
    }
    Ok(())
}
