//! Chaos: clients at work, a fault, and what they may see of it.
//!
//! Every case starts real servers, puts the fault-injecting proxy between pgherd and each of them,
//! lets a bank, readers, COPY and pipelines run all the while (`workload.rs`), strikes, heals, and
//! then judges: how many operations failed and with what, the longest stall, how soon everyone
//! was served again; no committed write lost, none doubled, no row given to another client.
//!
//! `make test` runs a short selection, `make chaos` everything. A case has a name, and a seed that
//! it prints; one alone: `PGHERD_CHAOS_SEED=42 cargo nextest run --profile chaos -p pgherd-chaos
//! NAME`. The seed decides what the clients do and the random parts of a fault, not the scheduling
//! of the machine.
//!
//! The limits of a case are what it means to promise. Machines are shared: clients that work beside
//! pgherd, straight on a server of their own, tell what everybody has to wait for, and the assertions
//! allow a few times that on top ([`report::slack`]). What was measured is printed.

mod failover;
mod matrix;
mod network;
mod patroni;
mod proxies;
mod replicas;
mod report;
mod servers;
mod shards;
mod stand;
mod victims;
mod volume;
mod workload;

use std::time::{SystemTime, UNIX_EPOCH};

/// The seed of this run, printed so that the case can be played again.
fn seed() -> u64 {
    let seed = match std::env::var("PGHERD_CHAOS_SEED") {
        Ok(text) => text.parse().expect("PGHERD_CHAOS_SEED is a number"),
        Err(_) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::from(now.subsec_nanos()) ^ u64::from(std::process::id()) << 32
        }
    };
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    println!("{name}: PGHERD_CHAOS_SEED={seed}");
    seed
}
