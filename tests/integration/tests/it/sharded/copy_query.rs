//! COPY TO over shards of queries that are merged, grouped or joined: byte for byte, in their order.

use anyhow::Result;
use pgherd_harness::raw::frontend;
use pgherd_harness::sharded::ShardedCluster;

use super::compare::Twins;

const SCHEMA: &str = "CREATE TYPE mood AS ENUM ('sad', 'glad'); \
    CREATE TABLE notes (user_id bigint NOT NULL, note text, n numeric(10, 2), at timestamptz, \
      mood mood, f double precision, b bytea, tags text[]); \
    CREATE TABLE codes (code text PRIMARY KEY, n integer); \
    INSERT INTO notes SELECT i, CASE WHEN i % 7 = 0 THEN NULL WHEN i % 7 = 1 THEN '' \
      WHEN i % 7 = 2 THEN E'tab\\t, line\\n return\\r \"quote\" back\\\\slash' \
      WHEN i % 7 = 3 THEN '\\.' WHEN i % 7 = 4 THEN '\\N' WHEN i % 7 = 5 THEN 'a;b''c' \
      ELSE E'h\\u00e4 \\x01\\x08\\x0b\\x0c' || i END, i * 1.5, \
      timestamptz '2024-03-01 12:00+00' + i * interval '1 hour', \
      CASE WHEN i % 2 = 0 THEN 'sad'::mood ELSE 'glad' END, i / 3.0, decode(repeat('00ff5c', i % 4), 'hex'), \
      ARRAY['x', NULL, 'a \"b\\', i::text] FROM generate_series(1, 60) i; \
    INSERT INTO codes VALUES ('a', 1), ('b', 2);";

/// What stands behind TO STDOUT.
const FORMATS: &[&str] = &[
    "",
    "(HEADER)",
    "(NULL 'x', DELIMITER ';')",
    "BINARY",
    "CSV",
    "(FORMAT csv, HEADER true)",
    "(FORMAT csv, QUOTE '''', DELIMITER ';', NULL '-')",
    "(FORMAT csv, ESCAPE '\\', FORCE_QUOTE *)",
    "(FORMAT csv, ENCODING 'utf-8')",
];

const QUERIES: &[&str] = &[
    "SELECT * FROM notes ORDER BY user_id",
    "SELECT note FROM notes ORDER BY user_id",
    "SELECT note, user_id AS \"a \"\"b\", note FROM notes ORDER BY user_id DESC LIMIT 9 OFFSET 2",
    "SELECT mood, count(*), avg(n), max(at) FROM notes GROUP BY mood ORDER BY mood",
    "SELECT count(*) FROM notes",
    "SELECT a.user_id, b.note FROM notes a JOIN notes b ON a.user_id = b.user_id + 1 ORDER BY 1",
    "WITH x AS (SELECT n FROM notes) SELECT sum(n), code FROM x, codes GROUP BY code ORDER BY code",
    "SELECT user_id FROM notes UNION SELECT n FROM codes ORDER BY 1",
    "SELECT user_id, row_number() OVER (ORDER BY n DESC) FROM notes ORDER BY 2",
    "SELECT note FROM notes WHERE n > 10000 ORDER BY user_id",
    "SELECT DISTINCT f FROM notes WHERE user_id < 9 ORDER BY f",
];

#[test]
fn a_query_is_written_as_one_postgres_writes_it() -> Result<()> {
    let cluster = ShardedCluster::builder(3).schema(SCHEMA).sharded_by("user_id");
    let mut twins = Twins::of(cluster.reference("codes").start()?)?;
    for query in QUERIES {
        for format in FORMATS {
            twins.same_query(&format!("COPY ({query}) TO STDOUT {format}"));
        }
    }
    for sql in [
        "COPY (SELECT note, n FROM notes ORDER BY n) TO STDOUT (FORMAT csv, FORCE_QUOTE (n))",
        "/* one */ COPY ( -- two\n SELECT sum(n) FROM notes -- three\n) TO STDOUT;",
        // Errors of options, names and rows.
        "COPY (SELECT sum(n) FROM notes) TO STDOUT (FORMAT csv, FORCE_QUOTE (nothing))",
        "COPY (SELECT sum(n) FROM notes) TO STDOUT (QUOTE 'x')",
        "COPY (SELECT sum(n) FROM notes) TO STDOUT (FORMAT binary, HEADER)",
        "COPY (SELECT sum(nothing) FROM notes) TO STDOUT",
        "COPY (SELECT sum(n), lower(n, n) FROM notes) TO STDOUT",
        "COPY (SELECT sum(n) / 0 FROM notes) TO STDOUT",
        "COPY (SELECT sum(n) FROM notes) TO STDOUT; SELECT 1",
    ] {
        twins.same_query(sql);
        twins.same_query("SELECT 1");
    }
    twins.same_query("SET DateStyle = German");
    twins.same_query("SET extra_float_digits = -3");
    twins.same_query("COPY (SELECT at, f FROM notes ORDER BY user_id) TO STDOUT");
    twins.same_query("BEGIN");
    twins.same_query("UPDATE notes SET n = 7 WHERE user_id < 5");
    twins.same_query("COPY (SELECT n, count(*) FROM notes GROUP BY n ORDER BY n) TO STDOUT");
    twins.same_query("ROLLBACK");
    let extended = [
        frontend::parse("", "COPY (SELECT n FROM notes ORDER BY n) TO STDOUT", &[]),
        frontend::bind("", "", &[]),
        frontend::execute("", 0),
        frontend::sync(),
    ];
    twins.same("in the extended protocol", &extended.concat(), 1);
    twins.refuses(
        "COPY (SELECT sum(n) FROM notes) TO STDOUT (ENCODING 'latin1')",
        "another encoding",
    );
    Ok(())
}
