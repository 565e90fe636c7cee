//! Reads of several shards: locks, one snapshot for all that is read of a shard, views, EXPLAIN.

use anyhow::Result;
use pgherd_harness::raw::Client;
use pgherd_harness::sharded::ShardedCluster;

use super::compare::Twins;

fn writable(shards: usize) -> Result<Twins> {
    let builder = ShardedCluster::builder(shards);
    Twins::of(builder.setting("max_prepared_transactions", "100").start()?)
}

#[test]
fn a_block_that_has_written_reads_a_shard_twice() -> Result<()> {
    let mut twins = writable(3)?;
    for sql in [
        "BEGIN",
        "UPDATE users SET balance = balance + 1000 WHERE id < 5",
        "SELECT count(*) FROM users a JOIN users b ON a.balance < b.balance",
        "SELECT a.id, b.name FROM users a JOIN users b ON a.id = b.id + 1 WHERE a.balance > 900",
        "SAVEPOINT s",
        "DELETE FROM users WHERE id = 3",
        "SELECT count(*) FROM users a JOIN users b ON a.balance < b.balance",
        "ROLLBACK TO s",
        "SELECT count(*) FROM users a JOIN users b ON a.balance < b.balance",
        "COMMIT",
        "SELECT count(*) FROM users a JOIN users b ON a.balance < b.balance",
    ] {
        twins.same_query(sql);
    }
    Ok(())
}

/// The SQLSTATE of a query, or none.
fn state(client: &mut Client, sql: &str) -> Result<Option<String>> {
    let messages = client.simple(sql)?;
    Ok(messages.iter().find(|it| it.tag == b'E').and_then(|it| it.sqlstate()))
}

#[test]
fn rows_of_several_shards_are_locked_until_the_end() -> Result<()> {
    let mut twins = writable(3)?;
    let mut other = twins.another()?;
    let locked = twins.sharded.rows("BEGIN; SELECT id FROM users WHERE id < 6 FOR UPDATE")?;
    assert_eq!(locked.len(), 5);
    for id in 1..6 {
        let one = format!("SELECT id FROM users WHERE id = {id} FOR SHARE NOWAIT");
        assert_eq!(state(&mut other, &one)?.as_deref(), Some("55P03"), "{id}");
    }
    let all = "SELECT id FROM users WHERE id < 9 ORDER BY id FOR UPDATE NOWAIT";
    assert_eq!(state(&mut other, all)?.as_deref(), Some("55P03"));
    let free =
        other.rows("SELECT id FROM users WHERE id < 9 ORDER BY id FOR UPDATE SKIP LOCKED")?;
    assert_eq!(free.concat(), ["6", "7", "8"]);
    assert_eq!(state(&mut twins.sharded, "COMMIT")?, None);
    assert_eq!(other.rows(all)?.len(), 8);
    Ok(())
}

#[test]
fn no_more_rows_are_locked_than_are_taken() -> Result<()> {
    let mut twins = writable(3)?;
    let mut other = twins.another()?;
    let count = "SELECT id FROM users FOR UPDATE SKIP LOCKED";
    let all = other.rows(count)?.len();
    let take = "BEGIN; SELECT id FROM users LIMIT 4 FOR UPDATE SKIP LOCKED";
    let first = twins.sharded.rows(take)?.concat();
    assert_eq!(first.len(), 4);
    assert_eq!(other.rows(count)?.len(), all - 4);
    // The next ones, of other shards as well.
    let most = format!("BEGIN; SELECT id FROM users FOR UPDATE SKIP LOCKED LIMIT {}", all - 5);
    let second = other.rows(&most)?.concat();
    assert_eq!(second.len(), all - 5);
    assert!(second.iter().all(|it| !first.contains(it)), "{first:?} {second:?}");
    let mut third = twins.another()?;
    assert_eq!(third.rows("SELECT id FROM users FOR SHARE SKIP LOCKED LIMIT 9")?.len(), 1);
    Ok(())
}

#[test]
fn rows_of_reference_tables_are_locked_for_all() -> Result<()> {
    let mut twins = writable(3)?;
    let mut others = [twins.another()?, twins.another()?, twins.another()?];
    twins.sharded.rows("BEGIN; SELECT code FROM countries WHERE code = 'de' FOR UPDATE")?;
    let nowait = "SELECT code FROM countries WHERE code = 'de' FOR UPDATE NOWAIT";
    for other in &mut others {
        assert_eq!(state(other, nowait)?.as_deref(), Some("55P03"));
        // Through the rows of one shard as well.
        for id in 1..7 {
            let sql = format!(
                "SELECT u.id FROM users u JOIN countries c ON c.code = 'de' WHERE u.id = {id} \
                 FOR SHARE OF c NOWAIT"
            );
            assert_eq!(state(other, &sql)?.as_deref(), Some("55P03"), "{id}");
        }
    }
    twins.sharded.rows("ROLLBACK")?;
    assert_eq!(others[0].rows(nowait)?.len(), 1);
    Ok(())
}

#[test]
fn explain_analyze_shows_what_the_shards_and_the_final_query_did() -> Result<()> {
    let mut twins = Twins::start(3)?;
    let grouped = "SELECT name, count(*) FROM users GROUP BY name";
    let mut explained = |options: &str, sql: &str| -> Result<String> {
        Ok(twins.sharded.rows(&format!("EXPLAIN {options} {sql}"))?.concat().join("\n"))
    };
    for (options, sql, parts) in [
        ("ANALYZE", "SELECT * FROM users", &["Merge of rows", "Shard 2", "actual time"][..]),
        ("(ANALYZE, BUFFERS, VERBOSE)", grouped, &["Gather from", "Final query", "Buffers:"]),
        ("(ANALYZE, FORMAT JSON)", grouped, &["\"Node Type\": \"Final query\"", "Actual Rows"]),
        ("(FORMAT YAML)", grouped, &["- Plan:", "Node Type: \"Shard\""]),
        ("(FORMAT XML)", grouped, &["<explain xmlns=", "<Node-Type>Shard</Node-Type>"]),
    ] {
        let text = explained(options, sql)?;
        for part in parts {
            assert!(text.contains(part), "{options}: {part} in {text}");
        }
    }
    // It is JSON: Postgres reads it.
    let json = explained("(ANALYZE, FORMAT JSON)", grouped)?;
    let sql =
        format!("SELECT jsonb_path_query_array($json${json}$json$::jsonb, '$.**.Shard')::text");
    let shards = twins.whole.rows(&sql)?.concat().concat();
    assert!(shards.starts_with("[0, 1, 2"), "{shards}");
    twins.refuses("EXPLAIN ANALYZE UPDATE users SET name = 'x'", "EXPLAIN ANALYZE of a write");
    Ok(())
}

#[test]
fn views_are_read_with_the_rights_of_their_users_only() -> Result<()> {
    let mut twins = writable(2)?;
    for sql in [
        "CREATE VIEW by_country AS SELECT country, count(*) AS n FROM users GROUP BY country",
        "SELECT * FROM by_country",
        "SELECT * FROM by_country WHERE n > 1",
    ] {
        twins.same_query(sql);
    }
    // What the view's owner sees, this user would not see in the table.
    for shard in 0..2 {
        let database = twins.cluster.database(shard);
        let mut admin = twins.cluster.server(shard).superuser(&database)?;
        admin.rows("ALTER TABLE users ENABLE ROW LEVEL SECURITY")?;
    }
    let mut other = twins.another()?;
    let messages = other.simple("SELECT * FROM by_country")?;
    let error = messages.iter().find(|it| it.tag == b'E');
    assert_eq!(error.and_then(|it| it.sqlstate()).as_deref(), Some("0A000"), "{messages:?}");
    Ok(())
}
