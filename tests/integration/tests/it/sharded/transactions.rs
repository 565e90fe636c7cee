//! Transactions over shards.

use anyhow::Result;

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
