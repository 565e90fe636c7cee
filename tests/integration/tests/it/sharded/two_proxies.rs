//! Definitions through one proxy, queries through another one at once: never a wrong answer.

use anyhow::{Result, ensure};
use pgherd_harness::raw::frontend::{bind, describe_statement, execute, parse, query, sync};
use pgherd_harness::raw::{Client, Message};
use pgherd_harness::sharded::ShardedCluster;

use super::compare::said;

const READS: &[&str] = &[
    "SELECT * FROM users WHERE id = 7",
    "SELECT * FROM users ORDER BY id LIMIT 3",
    "SELECT * FROM users",
    "SELECT count(*), max(balance) FROM users",
    "SELECT u.*, o.total FROM users u JOIN orders o ON o.user_id = u.id + 1 WHERE o.total > 290",
    "SELECT * FROM fresh",
    "SELECT * FROM fresh JOIN users ON users.id = fresh.user_id",
    "INSERT INTO fresh (user_id) VALUES (1)",
    "DELETE FROM fresh WHERE user_id < 3",
];

/// Each is done through one proxy, then all reads through the other, which knows of nothing.
const STEPS: &[&str] = &[
    "ALTER TABLE users ADD COLUMN extra int DEFAULT 5",
    "ALTER TABLE users ALTER COLUMN balance TYPE bigint",
    "ALTER TABLE users RENAME COLUMN extra TO more",
    "ALTER TABLE users DROP COLUMN more",
    "CREATE TABLE fresh (user_id bigint PRIMARY KEY, note text DEFAULT 'x')",
    "ALTER TABLE fresh ADD COLUMN n numeric DEFAULT 1.5",
    "INSERT INTO fresh VALUES (5, 'five', 5)",
    "DROP TABLE fresh",
    "CREATE TABLE fresh (n int, user_id bigint)",
    "ALTER TABLE users ADD COLUMN name2 text; UPDATE users SET name2 = 'n'",
    "ALTER TABLE users RENAME COLUMN name TO name3; ALTER TABLE users RENAME COLUMN name2 TO name",
    "DROP TABLE fresh",
];

fn answers(client: &mut Client, bytes: &[u8]) -> Result<Vec<Message>> {
    client.send(bytes)?;
    client.until_ready(1)
}

/// The rows and the tag, or the error: what follows ORDER BY no key comes in some order.
#[track_caller]
fn same(what: &str, whole: &[Message], given: &[Message]) -> Result<()> {
    let refused = given.iter().any(|it| it.sqlstate().as_deref() == Some("0A000"));
    ensure!(!refused, "{what} is refused: {given:?}");
    let (expected, given) = (said(whole), said(given));
    ensure!(given == expected, "{what}\n  given    {given:?}\n  expected {expected:?}");
    Ok(())
}

fn is_changed(message: &Message) -> bool {
    message.sqlstate().as_deref() == Some("0A000")
        && String::from_utf8_lossy(&message.body).contains("must not change result type")
}

#[test]
fn definitions_by_another_proxy_are_noticed_at_once() -> Result<()> {
    let cluster = ShardedCluster::builder(3).setting("max_prepared_transactions", "20").start()?;
    let (one, other) = (cluster.proxy()?, cluster.proxy()?);
    let mut whole = cluster.whole()?;
    let mut defining = Client::login(one.addr())?;
    let mut reading = Client::login(other.addr())?;
    for step in STEPS {
        for client in [&mut whole, &mut defining] {
            client.simple(step)?;
        }
        for sql in READS {
            let what = format!("after {step}: {sql}");
            let text = query(sql);
            same(&what, &answers(&mut whole, &text)?, &answers(&mut reading, &text)?)?;
            let batch = [parse("", sql, &[]), describe_statement(""), bind("", "", &[])];
            let batch = [batch.concat(), execute("", 0), sync()].concat();
            let mut given = answers(&mut reading, &batch)?;
            // It was described as it was before, and says so, as a statement that was prepared before.
            if given.iter().any(is_changed) {
                given = answers(&mut reading, &batch)?;
            }
            same(&what, &answers(&mut whole, &batch)?, &given)?;
        }
    }
    Ok(())
}

/// In the middle of definitions each answer is one from before or after.
#[test]
fn answers_while_another_proxy_defines_are_whole() -> Result<()> {
    let cluster = ShardedCluster::builder(3).setting("max_prepared_transactions", "20").start()?;
    let (one, other) = (cluster.proxy()?, cluster.proxy()?);
    let mut defining = Client::login(one.addr())?;
    let done = std::sync::atomic::AtomicBool::new(false);
    let addr = other.addr();
    std::thread::scope(|scope| -> Result<()> {
        let reader = scope.spawn(|| -> Result<usize> {
            let mut client = Client::login(addr)?;
            let mut count = 0;
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                let messages = client.simple("SELECT count(*), sum(balance) FROM users")?;
                let row = messages.iter().find_map(Message::data_row);
                if let Some(row) = row {
                    ensure!(row == [Some(&b"60"[..]), Some(&b"6000"[..])], "{row:?}");
                    count += 1;
                }
                let answer = client.simple("SELECT * FROM users")?;
                let rows = answer.iter().filter(|it| it.tag == b'D').count();
                let has_failed = answer.iter().any(|it| it.tag == b'E');
                ensure!(rows == 60 || has_failed, "{rows} rows");
            }
            Ok(count)
        });
        for _ in 0..15 {
            let defined = defining.rows("ALTER TABLE users ADD COLUMN extra int DEFAULT 5");
            let undone = defined.and_then(|_| defining.rows("ALTER TABLE users DROP COLUMN extra"));
            if undone.is_err() {
                done.store(true, std::sync::atomic::Ordering::Release);
            }
            undone?;
        }
        done.store(true, std::sync::atomic::Ordering::Release);
        let count = reader.join().expect("the reader does not panic")?;
        ensure!(count > 0, "nothing was read");
        Ok(())
    })
}
