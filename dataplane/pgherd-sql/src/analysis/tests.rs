//! What statements need, row by row, and what none of them may do to the process.

use super::*;
use crate::{Access, FunctionName};

mod hostile;
mod kinds;
mod normal_forms;

/// A database with one function that only reads, and one that shadows `lower`.
struct Catalog;

impl Volatility for Catalog {
    fn may_write(&self, function: &FunctionName) -> bool {
        &*function.name != "reader"
    }

    fn shadows(&self, name: &str) -> bool {
        name == "lower"
    }
}

#[track_caller]
pub fn check(sql: &str, expected: Access) {
    let analysis = analyze(sql.as_bytes());
    assert_eq!(analysis.unknown, None, "{sql}");
    assert_eq!(analysis.access(&Catalog), expected, "{sql}\n{analysis:#?}");
}

#[test]
fn reads_may_go_to_replicas() {
    for sql in [
        "",
        "/* nothing */ ;;",
        "SELECT 1",
        "VALUES (1), (2)",
        "TABLE t",
        "SELECT * FROM t WHERE a = 1 ORDER BY b DESC NULLS LAST LIMIT 10 OFFSET 5",
        "SELECT now(), random(), clock_timestamp(), version(), pg_sleep(1), gen_random_uuid()",
        "SELECT pg_catalog.count(*) FROM t GROUP BY ROLLUP (a) HAVING sum(b) > 1",
        "SELECT sum(a) OVER (PARTITION BY b ORDER BY c ROWS 1 PRECEDING) FROM t",
        "SELECT count(*) FILTER (WHERE a IS NOT NULL) FROM t",
        "WITH RECURSIVE x AS (SELECT 1 UNION ALL SELECT 2) SEARCH DEPTH FIRST BY a SET b SELECT * FROM x",
        "SELECT * FROM a JOIN b USING (c) LEFT JOIN LATERAL (SELECT 1) x ON true",
        "SELECT CASE a WHEN 1 THEN ARRAY[1,2] ELSE (ARRAY[1])[1:2] END, ROW(1, 2), (x).y FROM t",
        "SELECT EXISTS (SELECT 1), a IN (1, 2), a = ANY ($1), COALESCE(a, b), GREATEST(a, b) FROM t",
        "SELECT a::text, CAST(b AS numeric(10, 2)), c COLLATE \"C\", d AT TIME ZONE 'UTC' FROM t",
        "SELECT * FROM generate_series(1, 10) WITH ORDINALITY AS g(a, b)",
        "SELECT * FROM ROWS FROM (generate_series(1, 2), unnest(ARRAY[1])) AS x",
        "SELECT * FROM json_to_record('{}') AS x(a int, b text)",
        "SELECT * FROM t TABLESAMPLE BERNOULLI (10) REPEATABLE (1)",
        "SELECT CURRENT_TIMESTAMP, CURRENT_USER, EXTRACT(year FROM now()), INTERVAL '1 day'",
        "SELECT JSON_VALUE(j, '$.a'), JSON_OBJECT('a': 1), j IS JSON, JSON_ARRAYAGG(a) FROM t",
        "SELECT * FROM JSON_TABLE(j, '$[*]' COLUMNS (a int PATH '$.a', NESTED PATH '$.b' COLUMNS (c text)))",
        "SELECT XMLELEMENT(NAME a, XMLATTRIBUTES(1 AS b)), xmlserialize(CONTENT x AS text) FROM t",
        "SELECT * FROM XMLTABLE('/a' PASSING x COLUMNS b int PATH 'c', d FOR ORDINALITY)",
        "SELECT B'1', X'F', 1.5, true, NULL, U&'x', N'y', $1",
        "SELECT reader(1), any_schema.reader(2)",
        "SELECT a FROM t UNION SELECT b FROM u EXCEPT SELECT c FROM v",
        "SELECT DISTINCT ON (a) a, b FROM t ORDER BY a FETCH FIRST 3 ROWS WITH TIES",
        "SELECT pg_stat_get_numscans(1), pg_table_size('t'), set_config('a.b', 'c', true)",
        "SELECT current_setting('app.tenant')",
        "COPY t TO STDOUT",
        "COPY (SELECT a FROM t) TO STDOUT WITH (FORMAT csv)",
        "EXPLAIN SELECT 1",
        "EXPLAIN (ANALYZE, BUFFERS) SELECT count(*) FROM t",
        "BEGIN READ ONLY",
        "START TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
        "SET search_path TO a, b",
        "SET LOCAL statement_timeout = 5",
        "RESET ALL",
        "SHOW search_path",
        "SHOW app.tenant",
        "SELECT 1; SELECT 2",
        "DECLARE c CURSOR FOR SELECT 1",
        "COMMIT",
        "ROLLBACK",
    ] {
        check(sql, Access::Read);
    }
}

#[test]
fn writes_need_the_primary() {
    for sql in [
        "INSERT INTO t VALUES (1)",
        "UPDATE t SET a = 1",
        "DELETE FROM t",
        "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE",
        "SELECT * INTO u FROM t",
        "SELECT * INTO TEMP u FROM t",
        "SELECT * FROM t FOR UPDATE",
        "SELECT * FROM t FOR NO KEY UPDATE SKIP LOCKED",
        "SELECT * FROM t FOR SHARE OF t NOWAIT",
        "SELECT * FROM t FOR KEY SHARE",
        "SELECT * FROM (SELECT * FROM t FOR UPDATE) x",
        "SELECT (SELECT a FROM t FOR SHARE)",
        "SELECT 1 UNION (SELECT a FROM t FOR UPDATE)",
        "WITH x AS (SELECT * FROM t FOR UPDATE) SELECT * FROM x",
        "WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x",
        "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
        "SELECT nextval('s')",
        "SELECT pg_catalog.nextval('s')",
        "SELECT 1 + (SELECT max(setval('s', a)) FROM t)",
        "SELECT * FROM t WHERE a = currval('s')",
        "SELECT * FROM t ORDER BY nextval('s')",
        "SELECT * FROM t LIMIT nextval('s')",
        "SELECT * FROM t JOIN u ON nextval('s') = 1",
        "SELECT sum(a) OVER (ORDER BY nextval('s')) FROM t",
        "SELECT count(*) FILTER (WHERE nextval('s') > 1) FROM t",
        "SELECT * FROM nextval('s')",
        "SELECT * FROM t TABLESAMPLE own_method (1)",
        "VALUES (nextval('s'))",
        "SELECT ARRAY[nextval('s')], CASE WHEN true THEN nextval('s') END",
        "SELECT JSON_OBJECT('a': nextval('s'))",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_xact_lock(1)",
        "SELECT lo_create(1), lo_import('/etc/passwd')",
        "SELECT pg_notify('a', 'b')",
        "SELECT txid_current()",
        "SELECT pg_is_in_recovery()",
        "SELECT pg_current_wal_lsn()",
        "SELECT own()",
        "SELECT s.own()",
        "SELECT pg_catalog.no_such_function()",
        "SELECT dblink('x', 'DELETE FROM t')",
        "SELECT lower('SHADOWED')",
        "SELECT query_to_xml('x', true, true, '')",
        "SELECT current_setting('transaction_read_only')",
        "SELECT set_config('Transaction_Read_Only', 'off', true)",
        "DO $$ BEGIN END $$",
        "CALL p()",
        "COPY t FROM STDIN",
        "COPY (DELETE FROM t RETURNING *) TO STDOUT",
        "COPY (SELECT nextval('s')) TO STDOUT",
        "COPY t TO PROGRAM 'cat'",
        "COPY t TO '/tmp/x'",
        "COPY t FROM PROGRAM 'cat'",
        "EXPLAIN ANALYZE INSERT INTO t VALUES (1)",
        "EXPLAIN DELETE FROM t",
        "EXPLAIN (ANALYZE) CREATE TABLE x AS SELECT 1",
        "EXPLAIN EXECUTE x",
        "CREATE TABLE x AS SELECT 1",
        "CREATE TEMP TABLE x (a int)",
        "CREATE MATERIALIZED VIEW x AS SELECT 1",
        "REFRESH MATERIALIZED VIEW x",
        "DROP TABLE t",
        "ALTER TABLE t ADD COLUMN b int",
        "TRUNCATE t",
        "GRANT SELECT ON t TO u",
        "COMMENT ON TABLE t IS 'x'",
        "VACUUM",
        "ANALYZE t",
        "REINDEX TABLE t",
        "CLUSTER",
        "CHECKPOINT",
        "LOAD 'x'",
        "LISTEN a",
        "UNLISTEN a",
        "NOTIFY a",
        "LOCK t",
        "DISCARD ALL",
        "BEGIN",
        "START TRANSACTION READ WRITE",
        "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET TRANSACTION READ WRITE",
        "SET TRANSACTION SNAPSHOT 'x'",
        "SET transaction_read_only = off",
        "SET SESSION AUTHORIZATION x",
        "SHOW transaction_read_only",
        "SHOW in_hot_standby",
        "SHOW ALL",
        "PREPARE TRANSACTION 'x'",
        "COMMIT PREPARED 'x'",
        "ROLLBACK PREPARED 'x'",
        "PREPARE x AS SELECT 1",
        "EXECUTE x(1)",
        "DEALLOCATE x",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "DECLARE c CURSOR FOR SELECT * FROM t FOR UPDATE",
        "FETCH 1 FROM c",
        "MOVE c",
        "CLOSE c",
        "SELECT 1; DELETE FROM t",
        "ALTER SYSTEM SET a = 1",
        "IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c",
    ] {
        check(sql, Access::Write);
    }
}

#[test]
fn functions_are_listed_once() {
    let analysis = analyze(b"SELECT own(1), S.Own(2), own(3), \"Other\"(4), now(), NOW()");
    let statement = &analysis.statements[0];
    let names: Vec<String> = statement
        .functions
        .iter()
        .map(|it| format!("{}.{}", it.schema.as_deref().unwrap_or("-"), it.name))
        .collect();
    assert_eq!(names, ["-.own", "s.own", "-.Other"]);
    assert_eq!(*statement.builtins, ["now"]);
    assert!(!statement.needs_primary);
}

#[test]
fn where_there_are_too_many_functions_it_is_the_primary() {
    let calls: Vec<String> = (0..5_000).map(|i| format!("f{i}()")).collect();
    let analysis = analyze(format!("SELECT {}", calls.join(", ")).as_bytes());
    assert_eq!(analysis.unknown, None);
    assert!(analysis.statements[0].needs_primary);
}
