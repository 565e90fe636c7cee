//! Transfers that are stopped at every step of their commit, when something dies.

use std::time::Duration;

use anyhow::{Context, Result};
use pgherd_harness::faults::{At, Direction, Position, Scope, Set, Strike, Toxic};
use pgherd_harness::proxy::Proxy;

use super::bank::{Bank, Told, commit};

/// The shard with the record, and one of the others.
const RECORD: usize = 0;
const OTHER: usize = 1;

/// Where a commit is stopped: what it is called, on the way to which shard, at which message,
/// before or behind it. All that the connection would carry afterwards is held back.
const STEPS: &[(&str, usize, Direction, &str, Position)] = {
    use Direction::{ToClient, ToServer};
    use Position::{After, Before};
    &[
        ("the record not sent", RECORD, ToServer, "INSERT INTO pgherd.commits", Before),
        ("the record sent", RECORD, ToServer, "INSERT INTO pgherd.commits", After),
        ("not prepared", OTHER, ToServer, "PREPARE TRANSACTION", Before),
        ("prepared without an answer", OTHER, ToServer, "PREPARE TRANSACTION", After),
        ("the last one not prepared", 2, ToServer, "PREPARE TRANSACTION", Before),
        ("the last one prepared without an answer", 2, ToClient, "PREPARE TRANSACTION\0", Before),
        ("COMMIT not sent", RECORD, ToServer, "COMMIT\0", Before),
        ("COMMIT sent", RECORD, ToServer, "COMMIT\0", After),
        ("the answer to COMMIT lost", RECORD, ToClient, "COMMIT\0", Before),
        ("COMMIT PREPARED not sent", OTHER, ToServer, "COMMIT PREPARED", Before),
        ("COMMIT PREPARED sent", OTHER, ToServer, "COMMIT PREPARED", After),
        ("the last COMMIT PREPARED not sent", 2, ToServer, "COMMIT PREPARED", Before),
    ]
};

/// Who dies.
#[derive(Clone, Copy)]
struct Victims {
    proxy: bool,
    shard: Option<usize>,
    /// What was held back arrives after the death; otherwise it is lost.
    late: bool,
}

fn stop_at(step: usize, bank: &Bank) -> pgherd_harness::faults::Armed {
    let (_, shard, direction, containing, position) = STEPS[step];
    let tag = if direction == Direction::ToServer { b'Q' } else { b'C' };
    bank.faults[shard].arm(Strike {
        direction,
        at: At::Message { tag, containing: containing.as_bytes().to_vec() },
        position,
        blow: Set::both(Toxic::BlackHole),
        scope: Scope::Connection,
    })
}

/// Stops one transfer at each step, kills, and lets others finish it.
fn check(victims: Victims) -> Result<()> {
    let mut bank = Bank::open()?;
    let mut proxy = bank.fragile_proxy()?;
    // Before the schema is there, and before anybody can be asked for it.
    assert_eq!(bank.transfer(&proxy, 20)?, Told::Committed);
    let other = bank.proxy()?;
    let mut stopped = Vec::new();
    for (step, (what, ..)) in STEPS.iter().enumerate() {
        let transfer = i64::try_from(step)?;
        let mut client = bank.begin(&proxy, transfer)?;
        let armed = stop_at(step, &bank);
        let told = std::thread::spawn(move || commit(&mut client));
        armed.wait(Duration::from_secs(10)).context(*what)?;
        stopped.push((transfer, *what, told));
    }
    if victims.proxy {
        proxy.kill9()?;
    }
    if let Some(shard) = victims.shard {
        bank.cluster.servers()[shard].kill9()?;
    }
    for faults in &bank.faults {
        if !victims.late {
            faults.apply_to_live(&Set::both(Toxic::Reset));
        }
        faults.heal();
    }
    if let Some(shard) = victims.shard {
        bank.cluster.servers()[shard].restart()?;
    }
    let told = stopped
        .into_iter()
        .map(|(transfer, what, told)| {
            Ok((transfer, what, told.join().map_err(|_| anyhow::anyhow!("{what}"))?))
        })
        .collect::<Result<Vec<_>>>()?;
    bank.settle()?;
    bank.check(&told)?;
    let unheard = told.iter().filter(|(.., told)| *told == Told::Nothing).count();
    assert!(victims.proxy || unheard == 0, "who lives answers: {told:?}");
    // A decision that was made stays made.
    for (transfer, what, _) in told.iter().filter(|(_, what, _)| what.contains("COMMIT PREPARED")) {
        assert!(bank.is_there(*transfer)?, "{what}");
    }
    // And all goes on.
    let alive: &Proxy = if victims.proxy { &other } else { &proxy };
    assert_eq!(bank.transfer(alive, 21)?, Told::Committed);
    bank.settle()?;
    bank.check(&[(21, "afterwards", Told::Committed)])
}

#[test]
fn the_proxy_is_killed() -> Result<()> {
    check(Victims { proxy: true, shard: None, late: false })
}

#[test]
fn the_proxy_is_killed_and_what_it_has_sent_arrives() -> Result<()> {
    check(Victims { proxy: true, shard: None, late: true })
}

#[test]
fn the_shard_with_the_record_is_killed() -> Result<()> {
    check(Victims { proxy: false, shard: Some(RECORD), late: false })
}

#[test]
fn another_shard_is_killed() -> Result<()> {
    check(Victims { proxy: false, shard: Some(OTHER), late: false })
}

#[test]
fn the_proxy_and_the_shard_with_the_record_are_killed() -> Result<()> {
    check(Victims { proxy: true, shard: Some(RECORD), late: false })
}

#[test]
fn the_proxy_and_another_shard_are_killed() -> Result<()> {
    check(Victims { proxy: true, shard: Some(OTHER), late: false })
}

#[test]
fn only_connections_break() -> Result<()> {
    check(Victims { proxy: false, shard: None, late: false })
}
