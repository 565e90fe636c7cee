//! Coordinators that are slow and not dead.

use std::time::Duration;

use anyhow::Result;
use pgherd_harness::faults::{At, Direction, Position, Scope, Set, Strike, Toxic};
use pgherd_harness::poll;

use super::bank::{Bank, SOON, Told, commit};

/// Holds a transfer back before a message to a shard, for as long as `wait` takes.
fn held(
    bank: &Bank,
    proxy: &pgherd_harness::proxy::Proxy,
    transfer: i64,
    (shard, containing): (usize, &str),
    wait: impl FnOnce() -> Result<()>,
) -> Result<Told> {
    let mut client = bank.begin(proxy, transfer)?;
    let armed = bank.faults[shard].arm(Strike {
        direction: Direction::ToServer,
        at: At::Message { tag: b'Q', containing: containing.as_bytes().to_vec() },
        position: Position::Before,
        blow: Set::both(Toxic::BlackHole),
        scope: Scope::Connection,
    });
    let told = std::thread::spawn(move || commit(&mut client));
    armed.wait(Duration::from_secs(10))?;
    wait()?;
    bank.faults[shard].heal();
    told.join().map_err(|_| anyhow::anyhow!("the client's thread has panicked"))
}

/// Twice what the other proxies wait before they finish what seems to be left.
fn much_later(bank: &Bank) -> Result<()> {
    let mut client = bank.cluster.shard(2)?;
    poll::until(SOON, "something to be prepared for a while", || {
        let old = client.value(
            "SELECT count(*) FROM pg_prepared_xacts WHERE clock_timestamp() - prepared > '7s'",
        )?;
        Ok((old != "0").then_some(()))
    })
}

#[test]
fn nobody_disturbs_a_coordinator_whose_record_is_on_its_way() -> Result<()> {
    let bank = Bank::open()?;
    let (proxy, _other) = (bank.fragile_proxy()?, bank.proxy()?);
    // One shard takes its time to prepare, or the decision is long on its way.
    for (transfer, step) in [(0, (1, "PREPARE TRANSACTION")), (1, (0, "COMMIT\0"))] {
        let told = held(&bank, &proxy, transfer, step, || much_later(&bank))?;
        assert_eq!(told, Told::Committed, "{step:?}");
    }
    bank.settle()?;
    bank.check(&[(0, "prepared late", Told::Committed), (1, "committed late", Told::Committed)])
}

#[test]
fn a_coordinator_that_comes_too_late_fails_as_a_whole() -> Result<()> {
    let bank = Bank::open()?;
    let (proxy, _other) = (bank.fragile_proxy()?, bank.proxy()?);
    assert_eq!(bank.transfer(&proxy, 1)?, Told::Committed);
    let told = held(&bank, &proxy, 0, (0, "INSERT INTO pgherd.commits"), || bank.settle_after(2))?;
    assert_eq!(told, Told::Failed("40000".to_owned()));
    bank.settle()?;
    bank.check(&[(0, "the record came late", told)])
}
