//! Transactions over shards.

use anyhow::{Context, Result, ensure};

use super::compare::Twins;

#[test]
fn blocks_with_savepoints_errors_and_settings() -> Result<()> {
    let mut twins = Twins::start(3)?;
    for sql in [
        "BEGIN",
        "SELECT name FROM users WHERE id = 1",
        "SELECT name FROM users WHERE id = 2",
        "SELECT count(*) FROM users",
        "COMMIT",
        "COMMIT",
        "ROLLBACK",
        "BEGIN",
        "BEGIN",
        "UPDATE users SET balance = 1 WHERE id = 3",
        "SELECT balance FROM users WHERE id = 3",
        "ROLLBACK",
        "SELECT balance FROM users WHERE id = 3",
        // A failed one.
        "BEGIN",
        "UPDATE users SET balance = 2 WHERE id = 3",
        "SELECT nix",
        "SELECT 1",
        "SAVEPOINT a",
        "COMMIT",
        "SELECT balance FROM users WHERE id = 3",
        // Savepoints.
        "START TRANSACTION",
        "UPDATE users SET balance = 3 WHERE id = 4",
        "SAVEPOINT a",
        "UPDATE users SET balance = 4 WHERE id = 4",
        "SAVEPOINT \"B b\"",
        "SELECT * FROM nowhere",
        "SELECT 1",
        "ROLLBACK TO a",
        "SELECT balance FROM users WHERE id = 4",
        "ROLLBACK TO \"B b\"",
        "ROLLBACK TO a",
        "RELEASE a",
        "RELEASE a",
        "ROLLBACK",
        "SAVEPOINT a",
        "ROLLBACK TO a",
        "RELEASE a",
        // Settings inside.
        "BEGIN",
        "SET LOCAL TimeZone = 'Asia/Tokyo'",
        "SHOW TimeZone",
        "SELECT now() IS NOT NULL FROM users WHERE id = 5",
        "COMMIT",
        "SHOW TimeZone",
        "BEGIN",
        "SET TimeZone = 'Asia/Tokyo'",
        "SET my.own = 'y'",
        "COMMIT",
        "SHOW TimeZone",
        "SHOW my.own",
        "BEGIN",
        "SET TimeZone = 'Europe/Rome'",
        "ROLLBACK",
        "SHOW TimeZone",
        // Modes.
        "BEGIN READ ONLY",
        "UPDATE users SET balance = 3 WHERE id = 4",
        "ROLLBACK",
        "BEGIN ISOLATION LEVEL REPEATABLE READ",
        "SHOW transaction_isolation",
        "SELECT count(*) FROM users u JOIN orders o ON o.total > u.balance",
        "COMMIT AND CHAIN",
        "SHOW transaction_isolation",
        "ROLLBACK AND CHAIN",
        "ROLLBACK",
        "BEGIN ISOLATION LEVEL NONSENSE",
        "SELECT 1",
        // Several statements in one text are one transaction.
        "UPDATE users SET balance = 50 WHERE id = 6; SELECT nix",
        "SELECT balance FROM users WHERE id = 6",
        "UPDATE users SET balance = 51 WHERE id = 6; SELECT balance FROM users WHERE id = 6",
        "SELECT balance FROM users WHERE id = 6",
        "BEGIN; UPDATE users SET balance = 52 WHERE id = 6; COMMIT; SELECT nix",
        "SELECT balance FROM users WHERE id = 6",
        "BEGIN; SELECT 1; ROLLBACK; SELECT 2",
    ] {
        twins.same_query(sql);
    }
    Ok(())
}

/// What a broken branch had done before the savepoint is gone: nothing else of it may be committed.
#[test]
fn a_savepoint_does_not_bring_back_what_a_broken_branch_had_done() -> Result<()> {
    let mut twins = Twins::start(2)?;
    let on_first = (1..).find(|key| twins.cluster.place(*key).is_ok_and(|it| it == 0));
    let on_other = (1..).find(|key| twins.cluster.place(*key).is_ok_and(|it| it == 1));
    let (first, other) = on_first.zip(on_other).context("keys of both shards")?;
    let before = twins.sharded.value(&format!("SELECT balance FROM users WHERE id = {other}"))?;
    for sql in [
        "BEGIN",
        &format!("UPDATE users SET balance = 70 WHERE id = {first}"),
        &format!("UPDATE users SET balance = 70 WHERE id = {other}"),
        "SAVEPOINT a",
    ] {
        twins.sharded.rows(sql)?;
    }
    twins.cluster.shard(0)?.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND state = 'idle in transaction'",
    )?;
    for (sql, tag) in [
        (&*format!("SELECT balance FROM users WHERE id = {first}"), b'E'),
        ("ROLLBACK TO a", b'E'),
        ("SELECT 1", b'E'),
    ] {
        let replies = twins.sharded.simple(sql)?;
        ensure!(replies.iter().any(|it| it.tag == tag), "{sql}: {replies:?}");
    }
    let end = twins.sharded.simple("COMMIT")?;
    ensure!(end.iter().any(|it| it.tag == b'C' && it.body.starts_with(b"ROLLBACK")), "{end:?}");
    let after = twins.sharded.value(&format!("SELECT balance FROM users WHERE id = {other}"))?;
    assert_eq!(before, after);
    Ok(())
}
