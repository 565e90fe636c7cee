//! Transfers under load through two proxies, while proxies and servers are killed at random.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgherd_harness::raw::Client;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::bank::{Bank, SHARDS, Told, commit};

const CLIENTS: u64 = 6;
const BLOWS: usize = 6;

/// One transfer between three random accounts; an error where it was not even to be committed.
fn transfer(accounts: &[Vec<i64>], client: &mut Client, id: i64, rng: &mut StdRng) -> Result<Told> {
    client.rows("BEGIN")?;
    for (shard, amount) in [(0, -2), (1, 1), (2, 1)] {
        let account = accounts[shard][rng.random_range(0..25)];
        client.rows(&format!(
            "UPDATE accounts SET balance = balance + {amount} WHERE id = {account}"
        ))?;
        client.rows(&format!("INSERT INTO transfers VALUES ({id}, {account}, {amount})"))?;
    }
    Ok(commit(client))
}

fn work(
    accounts: &[Vec<i64>],
    proxy: &Mutex<SocketAddr>,
    next: &AtomicI64,
    ends: &AtomicBool,
    seed: u64,
) -> Vec<(i64, Told)> {
    let (mut rng, mut told) = (StdRng::seed_from_u64(seed), Vec::new());
    while !ends.load(Ordering::Relaxed) {
        let addr = *proxy.lock().expect("nobody panics with it");
        let Ok(mut client) = Client::login(addr) else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        client.set_deadline(Duration::from_secs(60));
        while !ends.load(Ordering::Relaxed) {
            let id = next.fetch_add(1, Ordering::Relaxed);
            let heard = transfer(accounts, &mut client, id, &mut rng);
            let goes_on = matches!(heard, Ok(Told::Committed));
            told.push((id, heard.unwrap_or_else(|_| Told::Failed("before COMMIT".to_owned()))));
            if !goes_on {
                break;
            }
        }
    }
    told
}

#[test]
fn under_random_blows_every_transfer_is_whole() -> Result<()> {
    let seed = std::env::var("PGHERD_SEED").map_or_else(|_| Ok(rand::random()), |it| it.parse())?;
    println!("PGHERD_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut bank = Bank::open()?;
    let mut proxies = [bank.proxy()?, bank.proxy()?];
    let addresses = [proxies[0].addr(), proxies[1].addr()].map(Mutex::new);
    assert_eq!(bank.transfer(&proxies[0], 30)?, Told::Committed);
    let accounts: Vec<Vec<i64>> =
        (0..SHARDS).map(|shard| (0..25).map(|n| bank.account(shard, n)).collect()).collect();
    let (next, ends) = (AtomicI64::new(1000), AtomicBool::new(false));
    let told = std::thread::scope(|scope| {
        let (accounts, next, ends, addresses) = (&accounts, &next, &ends, &addresses);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let proxy = &addresses[usize::try_from(n).unwrap_or(0) % 2];
                scope.spawn(move || work(accounts, proxy, next, ends, seed ^ (n + 1)))
            })
            .collect();
        let mut blows = || -> Result<()> {
            for _ in 0..BLOWS {
                std::thread::sleep(Duration::from_millis(rng.random_range(200..900)));
                match rng.random_range(0..=SHARDS + 1) {
                    shard if shard < SHARDS => {
                        let server = &mut bank.cluster.servers()[shard];
                        server.kill9()?;
                        server.restart()?;
                    }
                    proxy => {
                        let proxy = proxy - SHARDS;
                        proxies[proxy].kill9()?;
                        proxies[proxy] = bank.proxy()?;
                        *addresses[proxy].lock().expect("nobody panics with it") =
                            proxies[proxy].addr();
                    }
                }
            }
            Ok(())
        };
        let struck = blows();
        ends.store(true, Ordering::Relaxed);
        let told: Vec<(i64, Told)> =
            clients.into_iter().flat_map(|it| it.join().expect("a client's thread")).collect();
        struck.map(|()| told)
    })?;
    bank.settle()?;
    let mut there = BTreeMap::<i64, Vec<String>>::new();
    for mut row in bank.cluster.rows("SELECT amount, id FROM transfers")? {
        let id = row.pop().context("an id")?.parse()?;
        there.entry(id).or_default().append(&mut row);
    }
    for (id, amounts) in &mut there {
        amounts.sort_unstable();
        ensure!(*amounts == ["-2", "1", "1"], "transfer {id} is half there: {amounts:?}");
    }
    let (mut committed, mut failed) = (0, 0);
    for (id, told) in &told {
        match told {
            Told::Committed => {
                committed += 1;
                ensure!(there.contains_key(id), "{id} was told COMMIT, and is not there");
            }
            Told::Failed(code) if code != "08007" => {
                failed += 1;
                ensure!(!there.contains_key(id), "{id} was told {code}, and is there");
            }
            Told::Failed(_) | Told::Nothing => {}
        }
    }
    println!("{committed} committed, {failed} failed, {} in all", told.len());
    ensure!(committed > 20, "only {committed} of {} transfers", told.len());
    bank.check_books()
}
