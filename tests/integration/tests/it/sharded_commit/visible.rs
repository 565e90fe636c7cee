//! What readers see of a transaction over several shards that commits meanwhile: on each shard all
//! of it or nothing, and one shard before another.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use pgherd_harness::faults::{At, Direction, Position, Scope, Set, Strike, Toxic};
use pgherd_harness::poll;
use pgherd_harness::raw::Client;

use super::bank::{Bank, SHARDS, SOON, Told, commit};

#[test]
fn one_shard_may_be_seen_before_another_but_never_half_of_one() -> Result<()> {
    let bank = Bank::open()?;
    let (proxy, straight) = (bank.fragile_proxy()?, bank.proxy()?);
    assert_eq!(bank.transfer(&proxy, 1)?, Told::Committed);
    let rows_of = |reader: &mut Client, shard: usize| -> Result<(usize, bool)> {
        let id = bank.account(shard, 2);
        let transfer = reader.rows(&format!("SELECT FROM transfers WHERE account = {id}"))?;
        let balance = reader.value(&format!("SELECT balance FROM accounts WHERE id = {id}"))?;
        Ok((transfer.len(), balance != "1000"))
    };
    // Between the decision and the end on shard 2.
    let mut client = bank.begin(&proxy, 2)?;
    let armed = bank.faults[2].arm(Strike {
        direction: Direction::ToServer,
        at: At::Message { tag: b'Q', containing: b"COMMIT PREPARED".to_vec() },
        position: Position::Before,
        blow: Set::both(Toxic::BlackHole),
        scope: Scope::All,
    });
    let told = std::thread::spawn(move || commit(&mut client));
    armed.wait(Duration::from_secs(10))?;
    let mut reader = Client::login(straight.addr())?;
    poll::until(SOON, "shards 0 and 1 to show it", || {
        let seen = [rows_of(&mut reader, 0)?, rows_of(&mut reader, 1)?];
        Ok((seen == [(1, true); 2]).then_some(()))
    })?;
    // The other proxy may have finished it by now; until then nothing of it is seen there.
    let last = rows_of(&mut reader, 2)?;
    assert!(matches!(last, (0, false) | (1, true)), "half of a shard: {last:?}");
    bank.faults[2].heal();
    assert_eq!(told.join().expect("the client's thread"), Told::Committed);
    bank.settle()?;
    assert_eq!(rows_of(&mut reader, 2)?, (1, true));
    bank.check(&[(2, "seen by turns", Told::Committed)])
}

#[test]
fn a_reader_sees_each_shard_as_it_was_in_one_moment() -> Result<()> {
    const TURNS: i64 = 40;
    let bank = Bank::open()?;
    let proxy = bank.proxy()?;
    let accounts: Vec<i64> =
        (0..SHARDS).flat_map(|s| [bank.account(s, 0), bank.account(s, 1)]).collect();
    let list = accounts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let seen = std::thread::scope(|scope| {
        let writing = scope.spawn(|| -> Result<()> {
            let mut client = Client::login(proxy.addr())?;
            for _ in 0..TURNS {
                // Two rows on each of three shards.
                client.rows(&format!(
                    "UPDATE accounts SET balance = balance + 1 WHERE id IN ({list})"
                ))?;
            }
            Ok(())
        });
        let mut reader = Client::login(proxy.addr())?;
        let mut seen = Vec::new();
        while !writing.is_finished() {
            let rows =
                reader.rows(&format!("SELECT id, balance FROM accounts WHERE id IN ({list})"))?;
            let balance = |id: &i64| {
                let id = id.to_string();
                let row = rows.iter().find(|row| row[0] == id).expect("the account");
                row[1].parse::<i64>().expect("a number")
            };
            seen.push(accounts.iter().map(balance).collect::<Vec<i64>>());
        }
        writing.join().expect("the writer's thread")?;
        anyhow::Ok(seen)
    })?;
    let mut apart = BTreeSet::new();
    for balances in &seen {
        for shard in balances.chunks(2) {
            assert_eq!(shard[0], shard[1], "half of a write on one shard: {balances:?}");
        }
        let (least, most) = (balances.iter().min(), balances.iter().max());
        apart.insert(most.zip(least).map(|(most, least)| most - least));
    }
    println!("{} reads, shards apart by {apart:?}", seen.len());
    // Its own writes a session sees at once, on all shards.
    let mut client = Client::login(proxy.addr())?;
    let balances =
        client.rows(&format!("SELECT DISTINCT balance FROM accounts WHERE id IN ({list})"))?;
    assert_eq!(balances, [[(1000 + TURNS).to_string()]]);
    bank.settle()
}

/// Adds one to two accounts on each shard again and again while `read` is called, until it has been
/// called a few times.
fn while_written(bank: &Bank, mut read: impl FnMut(&mut Client, &str) -> Result<()>) -> Result<()> {
    let proxy = bank.proxy()?;
    let accounts: Vec<String> =
        (0..SHARDS).flat_map(|s| [0, 1].map(|n| bank.account(s, n).to_string())).collect();
    let list = accounts.join(", ");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| -> Result<usize> {
            let mut client = Client::login(proxy.addr())?;
            let mut turns = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                client.rows(&format!(
                    "UPDATE accounts SET balance = balance + 1 WHERE id IN ({list})"
                ))?;
                turns += 1;
            }
            Ok(turns)
        });
        let mut reader = Client::login(proxy.addr())?;
        let done = (0..15).try_for_each(|_| read(&mut reader, &list));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let turns = writing.join().expect("the writer's thread")?;
        println!("{turns} writes meanwhile");
        done
    })?;
    bank.settle()
}

#[test]
fn repeatable_read_keeps_what_it_has_seen_on_each_shard() -> Result<()> {
    let bank = Bank::open()?;
    while_written(&bank, |reader, list| {
        reader.rows("BEGIN ISOLATION LEVEL REPEATABLE READ")?;
        let sql = format!("SELECT id, balance FROM accounts WHERE id IN ({list}) ORDER BY id");
        let first = reader.rows(&sql)?;
        let again = reader.rows(&sql)?;
        reader.rows("COMMIT")?;
        assert_eq!(first, again);
        for shard in 0..SHARDS {
            let of = |n: usize| {
                let id = bank.account(shard, n).to_string();
                first.iter().find(|row| row[0] == id).map(|row| row[1].clone())
            };
            assert!(of(0).is_some() && of(0) == of(1), "half of a write on shard {shard}");
        }
        Ok(())
    })
}

#[test]
fn a_statement_that_reads_a_shard_twice_sees_one_moment_of_it() -> Result<()> {
    let bank = Bank::open()?;
    while_written(&bank, |reader, list| {
        // Not joined by its key as far as anybody can see: both sides are gathered.
        let rows = reader.rows(&format!(
            "SELECT a.id, a.balance - b.balance FROM accounts a JOIN accounts b \
             ON a.id + 0 = b.id + 0 WHERE a.id IN ({list}) AND b.id IN ({list})"
        ))?;
        assert_eq!(rows.len(), 2 * SHARDS);
        assert!(rows.iter().all(|row| row[1] == "0"), "two moments of one shard: {rows:?}");
        Ok(())
    })
}
