//! Transactions over several shards that get in each other's way, and errors of one shard.

use std::time::Duration;

use anyhow::Result;
use pgherd_harness::raw::Client;

use super::bank::{Bank, SHARDS, Told, commit};

#[test]
fn what_one_shard_refuses_is_nowhere() -> Result<()> {
    let bank = Bank::open()?;
    let proxy = bank.proxy()?;
    for shard in 0..SHARDS {
        bank.cluster.shard(shard)?.rows(
            "CREATE TABLE tokens (account bigint PRIMARY KEY, token int NOT NULL,
                 UNIQUE (token) DEFERRABLE INITIALLY DEFERRED)",
        )?;
    }
    let mut config = bank.cluster.config().to_toml();
    config = config.replace(
        "sharded_tables = [",
        "sharded_tables = [{ table = \"tokens\", column = \"account\", type = \"bigint\" }, ",
    );
    drop(proxy);
    let proxy = pgherd_harness::proxy::Proxy::start(&config)?;
    let mut client = Client::login(proxy.addr())?;
    // Shard by shard the token that is taken there: at once, while others prepare, and at COMMIT.
    for taken in 0..SHARDS {
        let ids: Vec<i64> = (0..SHARDS).map(|shard| bank.account(shard, 2 * taken)).collect();
        let other = bank.account(taken, 2 * taken + 1);
        client.rows(&format!("INSERT INTO tokens VALUES ({other}, {taken})"))?;
        client.rows("BEGIN")?;
        for id in &ids {
            client.rows(&format!("INSERT INTO tokens VALUES ({id}, {taken})"))?;
        }
        assert_eq!(commit(&mut client), Told::Failed("23505".to_owned()), "shard {taken}");
        let there: Vec<String> = bank
            .cluster
            .rows(&format!("SELECT account FROM tokens WHERE token = {taken}"))?
            .concat();
        assert_eq!(there, [other.to_string()]);
        // In one statement as well.
        let rows: Vec<String> = ids.iter().map(|id| format!("({id}, {taken})")).collect();
        let insert = format!("INSERT INTO tokens VALUES {}", rows.join(", "));
        let answer = client.simple(&insert)?;
        let code = answer.iter().find_map(|message| message.sqlstate());
        assert_eq!(code.as_deref(), Some("23505"), "{answer:?}");
        let all = bank.cluster.rows("SELECT count(*) FROM tokens")?.concat();
        let count: i64 = all.iter().map(|n| n.parse::<i64>()).sum::<Result<_, _>>()?;
        assert_eq!(count, i64::try_from(taken)? + 1);
    }
    bank.settle()
}

#[test]
fn statements_over_all_shards_do_not_deadlock() -> Result<()> {
    let bank = Bank::open()?;
    let proxy = bank.proxy()?;
    let add = |sign: &'static str| -> Result<()> {
        let mut client = Client::login(proxy.addr())?;
        client.set_deadline(Duration::from_secs(60));
        for _ in 0..15 {
            // Each shard updates in the order of its heap, and the shards take turns.
            client.rows(&format!("UPDATE accounts SET balance = balance {sign} 1"))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let both = [scope.spawn(|| add("+")), scope.spawn(|| add("-"))];
        both.into_iter().try_for_each(|it| it.join().expect("the client's thread has panicked"))
    })?;
    bank.settle()?;
    bank.check_books()
}

#[test]
fn two_transactions_that_wait_for_each_other_end_by_their_lock_timeout() -> Result<()> {
    let bank = Bank::open()?;
    let proxy = bank.proxy()?;
    let (a, b) = (bank.account(0, 50 / 3), bank.account(1, 50 / 3));
    let update =
        |id: i64, by: i64| format!("UPDATE accounts SET balance = balance + {by} WHERE id = {id}");
    let (mut one, mut other) = (Client::login(proxy.addr())?, Client::login(proxy.addr())?);
    one.rows("SET lock_timeout = '1s'")?;
    one.rows("BEGIN")?;
    one.rows(&update(a, 1))?;
    other.rows("BEGIN")?;
    other.rows(&update(b, 1))?;
    other.send(&pgherd_harness::raw::frontend::query(&update(a, -1)))?;
    let answer = one.simple(&update(b, -1))?;
    let code = answer.iter().find_map(|message| message.sqlstate());
    assert_eq!(code.as_deref(), Some("55P03"), "{answer:?}");
    one.rows("ROLLBACK")?;
    other.until_ready(1)?;
    assert_eq!(commit(&mut other), Told::Committed);
    bank.settle()?;
    let [of_a, of_b] = [(0, a), (1, b)].map(|(shard, id)| {
        let sql = format!("SELECT balance FROM accounts WHERE id = {id}");
        bank.cluster.shard(shard).and_then(|mut client| client.value(&sql))
    });
    assert_eq!((&*of_a?, &*of_b?), ("999", "1001"));
    Ok(())
}
