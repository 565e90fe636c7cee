//! Memory that a pooler needs for each client that is logged in and does nothing.

use std::time::Duration;

use anyhow::{Context, Result};
use pgherd_harness::postgres::Postgres;
use pgherd_harness::raw::Client;
use serde::Serialize;

use crate::contender::Contender;
use crate::options::{Options, Plan, Target};
use crate::procfs;

/// Long enough for buffers to be given back.
const SETTLE: Duration = Duration::from_secs(2);

/// The memory of one pooler.
#[derive(Clone, Debug, Serialize)]
pub struct Idle {
    pub target: Target,
    pub clients: usize,
    /// PSS in bytes after one client has come and gone.
    pub before: u64,
    /// PSS in bytes with all clients idle.
    pub with: u64,
}

/// Measures each pooler of the plan that keeps state for clients, in a process of its own.
pub fn all(options: &Options, plan: &Plan, postgres: &Postgres) -> Result<Vec<Idle>> {
    let mut measured = Vec::new();
    for target in [Target::PgBouncer, Target::Pgherd] {
        if !plan.targets.contains(&target) {
            continue;
        }
        eprintln!("bench: memory of {target} with {} idle clients", options.idle_clients);
        match measure(options, target, postgres) {
            Ok(idle) => {
                eprintln!("bench: memory of {target}: {:.2} KiB a client", idle.per_client_kib());
                measured.push(idle);
            }
            Err(error) => eprintln!("bench: memory of {target}: FAILED: {error:#}"),
        }
    }
    Ok(measured)
}

fn measure(options: &Options, target: Target, postgres: &Postgres) -> Result<Idle> {
    let contender = Contender::start(target, postgres, options)?;
    let pid = contender.pid().context("a direct connection has no pooler")?;
    // What the first client costs once (its server connection, its pool) is not a client's cost.
    drop(busy_once(&contender)?);
    std::thread::sleep(SETTLE);
    let before = procfs::proportional_memory(pid)?;
    let clients: Vec<Client> =
        (0..options.idle_clients).map(|_| busy_once(&contender)).collect::<Result<_>>()?;
    std::thread::sleep(SETTLE);
    let with = procfs::proportional_memory(pid)?;
    Ok(Idle { target, clients: clients.len(), before, with })
}

/// A client that has logged in and run one query.
fn busy_once(contender: &Contender) -> Result<Client> {
    let mut client = Client::login(contender.addr())?;
    client.rows("SELECT 1")?;
    Ok(client)
}

impl Idle {
    /// What one client adds.
    pub fn per_client_kib(&self) -> f64 {
        self.with.saturating_sub(self.before) as f64 / 1024.0 / self.clients.max(1) as f64
    }
}
