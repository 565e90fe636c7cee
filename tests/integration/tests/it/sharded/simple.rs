//! The simple protocol over shards.

use anyhow::{Context, Result};
use pgherd_harness::proxy::Proxy;
use pgherd_harness::raw::{Client, frontend};
use pgherd_harness::sharded::ShardedCluster;

use super::compare::Twins;

#[test]
fn statements_outside_of_transactions() -> Result<()> {
    let mut twins = Twins::start(3)?;
    for sql in [
        "SELECT 1 AS one, 'x' AS two",
        "",
        ";",
        "-- nothing",
        "SELECT * FROM users WHERE id = 7",
        "SELECT name FROM users WHERE id = 61",
        "SELECT * FROM users",
        "SELECT count(*), sum(balance), avg(balance) FROM users",
        "SELECT country, count(*) FROM users GROUP BY country ORDER BY country",
        "SELECT u.name, o.total FROM users u JOIN orders o ON o.user_id = u.id \
         WHERE o.total > 290 ORDER BY o.id",
        "SELECT u.name, c.name FROM users u JOIN countries c ON c.code = u.country WHERE u.id < 5 \
         ORDER BY u.id DESC",
        "SELECT * FROM countries",
        "SELECT id, total FROM orders ORDER BY total DESC, id LIMIT 5 OFFSET 2",
        "SELECT 1; SELECT 2 AS b; SELECT count(*) FROM users",
        // Errors, with their positions.
        "SELECT nothing FROM users",
        "SELECT * FROM nowhere WHERE id = 1",
        "SELEC 1",
        "SELECT 1; SELECT * FROM nowhere; SELECT 2",
        "SELECT 1 / (id - 7) FROM users WHERE id = 7",
        "SELECT 'ä'; SELECT nix",
        // Writes.
        "INSERT INTO users VALUES (101, 'new', 'at', 5)",
        "INSERT INTO users VALUES (101, 'again', 'at', 5)",
        "INSERT INTO users VALUES (102, 'a', 'at', 5) RETURNING id, name",
        "UPDATE users SET balance = balance + 1 WHERE id = 101",
        "UPDATE users SET balance = balance + 1 WHERE id = 101 RETURNING *",
        "DELETE FROM users WHERE id = 101",
        "DELETE FROM users WHERE id = 999",
        "SELECT * FROM users WHERE id IN (101, 102)",
        // The session.
        "SHOW search_path",
        "SET work_mem = '1MB'",
        "SHOW work_mem",
        "SET TimeZone = 'Europe/Rome'",
        "SHOW TimeZone",
        "SET nonsense = 1",
        "SET application_name = 'it''s'",
        "RESET application_name",
        "SET my.own = 'x'",
        "SHOW my.own",
        "RESET ALL",
        "SHOW TimeZone",
        "SHOW work_mem",
        "DISCARD ALL",
        "UNLISTEN *",
        "CLOSE ALL",
        "DEALLOCATE ALL",
        "DEALLOCATE nothing",
        "SELECT 1",
    ] {
        twins.same_query(sql);
    }
    // A pipeline of queries.
    let pipeline =
        [frontend::query("SELECT 1"), frontend::query("SELECT nix"), frontend::query("SELECT 3")];
    twins.same("a pipeline", &pipeline.concat(), 3);
    Ok(())
}

#[test]
fn what_cannot_be_exact_is_refused() -> Result<()> {
    let mut twins = Twins::start(2)?;
    for (sql, construct) in [
        ("LISTEN x", "LISTEN"),
        ("NOTIFY x", "NOTIFY"),
        ("LOAD 'x'", "LOAD"),
        ("PREPARE TRANSACTION 'x'", "PREPARE TRANSACTION"),
        ("SET SESSION AUTHORIZATION app", "SET SESSION AUTHORIZATION"),
    ] {
        twins.refuses(sql, construct);
        twins.same_query("SELECT 1");
    }
    Ok(())
}

#[test]
fn gathering_is_limited() -> Result<()> {
    let cluster = ShardedCluster::builder(2)
        .schema(
            "CREATE TABLE t (id bigint PRIMARY KEY, text text); \
             INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 200) i",
        )
        .sharded("t", "id")
        .start()?;
    let config = cluster.config().cluster_setting("gather_limit", "\"64kB\"");
    let proxy = Proxy::start(&config.to_toml())?;
    let mut client = Client::login(proxy.addr())?;
    let refused = |client: &mut Client, sql: &str| -> Result<()> {
        let messages = client.simple(sql)?;
        let error = messages.iter().find(|it| it.tag == b'E').context("no error")?;
        assert_eq!(error.sqlstate().as_deref(), Some("54000"), "{error:?}");
        assert!(error.field(b'H').is_some_and(|hint| hint.contains("gather_limit")));
        Ok(())
    };
    let sql = "SELECT a.id FROM t a, t b WHERE a.text = b.text || 'y'";
    refused(&mut client, sql)?;
    refused(&mut client, &format!("SELECT '{}'", "x".repeat(65 * 1024)))?;
    assert_eq!(client.value("SELECT 1")?, "1");
    // In a transaction it is an error like any other.
    client.simple("BEGIN")?;
    refused(&mut client, sql)?;
    let messages = client.simple("SELECT 1")?;
    assert_eq!(messages[0].sqlstate().as_deref(), Some("25P02"));
    client.simple("ROLLBACK")?;
    assert_eq!(client.value("SELECT count(*) FROM t")?, "200");
    Ok(())
}
