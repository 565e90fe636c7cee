//! Transactions that wait for each other on different shards: one of them ends, as in Postgres.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pgherd_harness::poll;
use pgherd_harness::proxy::Proxy;
use pgherd_harness::raw::{Client, Message};

use super::bank::{Bank, Told, commit};

/// `deadlock_timeout` and a second are meant; machines take their time.
const IN_TIME: Duration = Duration::from_secs(8);
const SOON: Duration = Duration::from_secs(20);

type Answer = (Client, Vec<Message>, Duration);

/// A client that has locked an account of a shard.
fn holder(bank: &Bank, proxy: &Proxy, shard: usize, n: usize) -> Result<Client> {
    let mut client = Client::login(proxy.addr())?;
    client.set_deadline(Duration::from_secs(60));
    client.rows("BEGIN")?;
    lock(bank, &mut client, shard, n)?;
    Ok(client)
}

fn update(bank: &Bank, shard: usize, n: usize) -> String {
    let id = bank.account(shard, n);
    format!("UPDATE accounts SET balance = balance + 0 WHERE id = {id}")
}

fn lock(bank: &Bank, client: &mut Client, shard: usize, n: usize) -> Result<()> {
    client.rows(&update(bank, shard, n)).map(drop)
}

/// Asks for another one, and waits for the answer elsewhere.
fn ask(bank: &Bank, mut client: Client, shard: usize, n: usize) -> JoinHandle<Result<Answer>> {
    let sql = update(bank, shard, n);
    std::thread::spawn(move || {
        let begun = Instant::now();
        let answer = client.simple(&sql)?;
        Ok((client, answer, begun.elapsed()))
    })
}

/// Waits until so many wait for a lock on a shard.
fn wait_blocked(bank: &Bank, shard: usize, count: usize) -> Result<()> {
    let mut client = bank.cluster.shard(shard)?;
    poll::until(SOON, "somebody to wait", || {
        let blocked = client.value("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")?;
        Ok((blocked.parse::<usize>()? >= count).then_some(()))
    })
}

fn code(answer: &[Message]) -> Option<String> {
    answer.iter().find_map(Message::sqlstate)
}

fn joined(thread: JoinHandle<Result<Answer>>) -> Result<Answer> {
    thread.join().map_err(|_| anyhow::anyhow!("a client's thread has panicked"))?
}

/// Two transactions in opposite orders, by these proxies: the second one is the younger.
fn opposite(bank: &Bank, first: &Proxy, second: &Proxy) -> Result<()> {
    let elder = holder(bank, first, 0, 0)?;
    let younger = holder(bank, second, 1, 0)?;
    let elder = ask(bank, elder, 1, 0);
    wait_blocked(bank, 1, 1)?;
    let younger = ask(bank, younger, 0, 0);
    let (mut victim, answer, took) = joined(younger)?;
    println!("  the victim was told after {took:?}: {answer:?}");
    ensure!(code(&answer).as_deref() == Some("40P01"), "{answer:?}");
    ensure!(took < IN_TIME, "{took:?}");
    let report = answer.iter().find(|it| it.tag == b'E').context("no error")?;
    let text = String::from_utf8_lossy(&report.body).into_owned();
    for part in [
        "Mdeadlock detected\0",
        "DProcess ",
        " waits for ShareLock on transaction ",
        "; blocked by process ",
        ".\nProcess ",
        "HSee server log for query details.\0",
    ] {
        ensure!(text.contains(part), "{part:?} is not in {text:?}");
    }
    // The other one goes on at once: the victim has let go.
    let (mut survivor, answer, _) = joined(elder)?;
    ensure!(code(&answer).is_none(), "{answer:?}");
    ensure!(commit(&mut survivor) == Told::Committed);
    ensure!(code(&victim.simple("SELECT 1")?).as_deref() == Some("25P02"));
    victim.rows("ROLLBACK")?;
    ensure!(victim.value("SELECT 1")? == "1");
    bank.settle()?;
    bank.check_books()
}

#[test]
fn opposite_orders_end_for_the_younger() -> Result<()> {
    let bank = Bank::open()?;
    let proxy = bank.proxy()?;
    opposite(&bank, &proxy, &proxy)?;
    // Nothing is kept of it.
    opposite(&bank, &proxy, &proxy)
}

#[test]
fn proxies_find_what_they_share() -> Result<()> {
    let bank = Bank::open()?;
    let (one, other) = (bank.proxy()?, bank.proxy()?);
    opposite(&bank, &one, &other)?;
    opposite(&bank, &other, &one)
}

#[test]
fn a_circle_of_three_loses_one() -> Result<()> {
    let bank = Bank::open()?;
    let proxy = bank.proxy()?;
    let clients =
        (0..3).map(|shard| holder(&bank, &proxy, shard, 0)).collect::<Result<Vec<_>>>()?;
    let mut threads = Vec::new();
    for (at, client) in clients.into_iter().enumerate() {
        let next = (at + 1) % 3;
        threads.push(ask(&bank, client, next, 0));
        if at < 2 {
            wait_blocked(&bank, next, 1)?;
        }
    }
    let mut lost = 0;
    // The victim comes first, then who waited for it.
    for thread in threads.into_iter().rev() {
        let (mut client, answer, _) = joined(thread)?;
        match code(&answer).as_deref() {
            None => assert_eq!(commit(&mut client), Told::Committed),
            Some(code) => {
                assert_eq!(code, "40P01");
                lost += 1;
                client.rows("ROLLBACK")?;
            }
        }
    }
    assert_eq!(lost, 1);
    bank.settle()
}

#[test]
fn a_savepoint_keeps_what_came_before_it() -> Result<()> {
    let bank = Bank::open()?;
    let proxy = bank.proxy()?;
    let elder = holder(&bank, &proxy, 0, 0)?;
    let mut younger = holder(&bank, &proxy, 2, 0)?;
    younger.rows("SAVEPOINT s")?;
    lock(&bank, &mut younger, 1, 0)?;
    let elder = ask(&bank, elder, 1, 0);
    wait_blocked(&bank, 1, 1)?;
    let (mut victim, answer, _) = joined(ask(&bank, younger, 0, 0))?;
    assert_eq!(code(&answer).as_deref(), Some("40P01"), "{answer:?}");
    let (mut survivor, answer, _) = joined(elder)?;
    assert_eq!(code(&answer), None, "{answer:?}");
    assert_eq!(commit(&mut survivor), Told::Committed);
    victim.rows("ROLLBACK TO s")?;
    lock(&bank, &mut victim, 1, 0)?;
    assert_eq!(commit(&mut victim), Told::Committed);
    bank.settle()
}

#[test]
fn who_only_waits_is_left_alone() -> Result<()> {
    let bank = Bank::open()?;
    let proxy = bank.proxy()?;
    // A chain over all shards, whose first one holds it for a while.
    let mut first = holder(&bank, &proxy, 0, 0)?;
    lock(&bank, &mut first, 1, 1)?;
    let mut second = holder(&bank, &proxy, 1, 0)?;
    lock(&bank, &mut second, 2, 1)?;
    let second = ask(&bank, second, 0, 0);
    wait_blocked(&bank, 0, 1)?;
    let mut third = holder(&bank, &proxy, 2, 0)?;
    lock(&bank, &mut third, 0, 2)?;
    let third = ask(&bank, third, 1, 0);
    wait_blocked(&bank, 1, 1)?;
    // A few times as long as it takes to find one.
    first.rows("SELECT pg_sleep(4)")?;
    assert_eq!(commit(&mut first), Told::Committed);
    for thread in [second, third] {
        let (mut client, answer, _) = joined(thread)?;
        assert_eq!(code(&answer), None, "{answer:?}");
        assert_eq!(commit(&mut client), Told::Committed);
    }
    bank.settle()
}
