//! Every toxic, at every moment of a client, on every part of a cluster.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use pgherd_harness::faults::{Direction, FaultProxy, Set, Toxic};

use crate::report::{Limits, May, judge};
use crate::stand::{SOON, Stand, apply};
use crate::victims::{Phase, Victim};
use crate::workload::Failure;

/// How long a fault lasts.
const LASTS: Duration = Duration::from_millis(1200);
/// How often a flapping one comes and goes, and for how long each time.
const FLAPS: u32 = 5;
const FLAP: Duration = Duration::from_millis(250);

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Latency,
    Jitter,
    Bandwidth,
    SlowClose,
    Timeout,
    Reset,
    Slicer,
    LimitData,
    BlackHole,
}

/// With whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The proxy: what is between it and its clients.
    Proxy,
    /// The only instance that there is.
    Alone,
    /// The same, on and off.
    AloneFlapping,
    /// The primary of two replicas.
    Primary,
    /// One of two replicas.
    OneReplica,
    AllReplicas,
    /// One replica, on and off.
    Flapping,
}

impl Fault {
    fn set(self, target: Target) -> Set {
        let ms = Duration::from_millis;
        // So that connections reach it a few times while the fault lasts.
        let bytes = if target.flaps() { 30_000 } else { 200_000 };
        match self {
            Self::Latency => Set::both(Toxic::Latency { delay: ms(20), jitter: ms(0) }),
            Self::Jitter => Set::both(Toxic::Latency { delay: ms(15), jitter: ms(15) }),
            Self::Bandwidth => Set::both(Toxic::Bandwidth { bytes_per_second: 100_000 }),
            Self::SlowClose => Set::both(Toxic::SlowClose { delay: ms(500) }),
            Self::Timeout => Set::both(Toxic::Timeout),
            Self::Reset => Set::both(Toxic::Reset),
            Self::Slicer => Set::both(Toxic::Slicer { size: 16, delay: Duration::ZERO }),
            Self::LimitData => Set::only(Direction::ToClient, Toxic::LimitData { bytes }),
            Self::BlackHole => Set::both(Toxic::BlackHole),
        }
    }

    /// Whether it ends connections.
    fn cuts(self) -> bool {
        matches!(self, Self::Timeout | Self::Reset | Self::LimitData)
    }

    /// Whether it makes anybody wait until it is over.
    fn holds(self) -> bool {
        matches!(self, Self::Timeout | Self::Reset | Self::BlackHole)
    }

    /// How long it delays the longest operation by itself, if it lasts for so long.
    fn delays(self, lasts: Duration) -> Duration {
        match self {
            _ if self.holds() => lasts,
            // The longest answers have 44 kB.
            Self::Bandwidth => lasts.min(Duration::from_millis(450)),
            // Each piece takes a turn of the fault proxy, and these answers have 2750 of them.
            Self::Slicer => lasts,
            _ => Duration::ZERO,
        }
    }
}

impl Target {
    fn replicas(self) -> usize {
        match self {
            Self::Proxy | Self::Alone | Self::AloneFlapping => 0,
            Self::Primary | Self::OneReplica | Self::AllReplicas | Self::Flapping => 2,
        }
    }

    fn flaps(self) -> bool {
        matches!(self, Self::AloneFlapping | Self::Flapping)
    }

    /// Whether what is hit takes the writes.
    fn writes(self) -> bool {
        !matches!(self, Self::OneReplica | Self::AllReplicas | Self::Flapping)
    }

    fn of(self, stand: &Stand) -> &[FaultProxy] {
        match self {
            Self::Proxy => std::slice::from_ref(&stand.front),
            Self::Alone | Self::AloneFlapping | Self::Primary => &stand.faults[..1],
            Self::OneReplica | Self::Flapping => &stand.faults[1..2],
            Self::AllReplicas => &stand.faults[1..],
        }
    }
}

/// What clients may see.
fn may(fault: Fault, target: Target) -> May {
    let lasts = if target.flaps() { FLAP * (2 * FLAPS) } else { LASTS };
    // One operation at each blow, and one on a connection that was found broken by using it.
    let blows = if target.flaps() { FLAPS as usize } else { 1 };
    let failures = match fault {
        // Connections end again and again while it lasts; `run` counts them.
        Fault::LimitData => usize::MAX,
        _ if fault.cuts() => blows,
        _ => 0,
    };
    let stall = fault.delays(lasts) + Duration::from_millis(500);
    let hit = Limits { failures, stall };
    // Half a message may have been passed on when the other half is lost.
    let codes: &[&str] = if fault == Fault::LimitData { &["cut"] } else { &[] };
    let spared = Limits { failures: 0, stall: Duration::from_millis(500) };
    match target {
        Target::Proxy if fault.cuts() => {
            // Who is cut off tries again at once, and nobody is there to say why.
            let hit = Limits { failures: usize::MAX, ..hit };
            May { codes: &["closed", "cut", "unreachable"], ..May::see(hit, hit) }
        }
        Target::Proxy | Target::Alone | Target::AloneFlapping => {
            May { codes, ..May::see(hit, hit) }
        }
        Target::Primary => {
            // Connections end one after the other: who comes back at once may be given one whose
            // turn is still to come.
            let again = if fault.cuts() { 1 } else { 0 };
            let hit = Limits { failures: failures.saturating_add(again), ..hit };
            May { codes, ..May::see(spared, hit) }
        }
        // What cannot be retried is what had begun to answer, and COPY; that a silent replica is
        // banned ends it, too.
        Target::OneReplica | Target::AllReplicas | Target::Flapping => {
            let ended = if fault.holds() { blows } else { 0 };
            let hit = Limits { failures: failures.max(ended), ..hit };
            May { codes: &["cut"], retried: true, ..May::see(hit, spared) }
        }
    }
}

#[track_caller]
fn check(fault: Fault, phase: Phase, target: Target) {
    if let Err(error) = run(fault, phase, target, crate::seed()) {
        panic!("{error:#}");
    }
}

fn run(fault: Fault, phase: Phase, target: Target, seed: u64) -> Result<()> {
    let stand = Stand::start(target.replicas(), seed, |config| config)?;
    let workload = stand.workload()?;
    let faults = target.of(&stand);
    let victim = Victim::ready(&stand, phase, target.writes())?;
    let victim = victim.strike(faults, &fault.set(target))?;
    if target.flaps() {
        for _ in 1..FLAPS {
            std::thread::sleep(FLAP);
            apply(faults, &Set::none());
            std::thread::sleep(FLAP);
            apply(faults, &fault.set(target));
        }
        std::thread::sleep(FLAP);
    } else {
        std::thread::sleep(LASTS);
    }
    apply(faults, &Set::none());
    let healed = Instant::now();
    let outcome = join(victim)?;
    println!("  victim: {}", outcome.as_ref().map_or_else(|it| it.to_string(), |()| "done".into()));
    let may = may(fault, target);
    match outcome {
        Ok(()) => {}
        Err(failure) if may.reads.failures > 0 || may.writes.failures > 0 => {
            let allowed = failure.code() == "08006" || may.codes.contains(&failure.code());
            ensure!(allowed, "the victim was told {failure}");
        }
        Err(failure) => bail!("the victim: {failure}"),
    }
    let operations = judge(workload, healed, may, || stand.auditor())?;
    let failed = operations.iter().filter(|it| it.failure.is_some()).count() as u64;
    let ended: u64 = faults.iter().map(|it| it.opened() - it.connections().len() as u64).sum();
    println!("  {failed} operations failed on {ended} connections that ended");
    ensure!(failed <= ended, "more failures than connections that ended");
    stand.wait_all_given_back()?;
    Ok(())
}

fn join(victim: std::thread::JoinHandle<Result<(), Failure>>) -> Result<Result<(), Failure>> {
    pgherd_harness::poll::until(SOON, "the victim to end", || {
        Ok(victim.is_finished().then_some(()))
    })?;
    Ok(victim.join().expect("the victim's thread does not panic"))
}

macro_rules! phases {
    ($target:ident, $fault:ident) => {
        use super::super::*;

        #[test]
        fn at_login() {
            check(Fault::$fault, Phase::Login, Target::$target);
        }
        #[test]
        fn when_idle() {
            check(Fault::$fault, Phase::Idle, Target::$target);
        }
        #[test]
        fn in_a_query() {
            check(Fault::$fault, Phase::Query, Target::$target);
        }
        #[test]
        fn in_a_transaction() {
            check(Fault::$fault, Phase::Transaction, Target::$target);
        }
        #[test]
        fn in_copy() {
            check(Fault::$fault, Phase::Copy, Target::$target);
        }
        #[test]
        fn in_a_pipeline() {
            check(Fault::$fault, Phase::Pipeline, Target::$target);
        }
    };
}

macro_rules! toxics {
    ($target:ident) => {
        mod latency {
            phases!($target, Latency);
        }
        mod jitter {
            phases!($target, Jitter);
        }
        mod bandwidth {
            phases!($target, Bandwidth);
        }
        mod slow_close {
            phases!($target, SlowClose);
        }
        mod timeout {
            phases!($target, Timeout);
        }
        mod reset {
            phases!($target, Reset);
        }
        mod slicer {
            phases!($target, Slicer);
        }
        mod limit_data {
            phases!($target, LimitData);
        }
        mod black_hole {
            phases!($target, BlackHole);
        }
    };
}

mod proxy {
    toxics!(Proxy);
}
mod alone {
    toxics!(Alone);
}
mod alone_flapping {
    toxics!(AloneFlapping);
}
mod primary {
    toxics!(Primary);
}
mod one_replica {
    toxics!(OneReplica);
}
mod all_replicas {
    toxics!(AllReplicas);
}
mod flapping {
    toxics!(Flapping);
}
