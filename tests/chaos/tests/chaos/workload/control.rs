//! Clients that have nothing to do with the fault, nor with pgherd.

use std::time::{Duration, Instant};

use anyhow::Result;
use pgherd_harness::faults::FaultProxy;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::raw::Login;

use super::{Clients, Workload, schema};

/// A few are enough: they are never all delayed by chance. Two transfers, which wait for each other.
const CLIENTS: Clients =
    Clients { transfers: 2, reads: 1, prepared: 0, copies: 0, pipelines: 0, logins: 0 };

/// A server beside those of the case, and clients that work on it. What they say goes through as many
/// fault proxies as there are around pgherd, so that as many threads must have their turn.
pub struct Control {
    // The clients end before their server.
    workload: Workload,
    _faults: [FaultProxy; 2],
    _server: Postgres,
}

impl Control {
    pub fn start(seed: u64) -> Result<Self> {
        let server = Postgres::start()?;
        server.sql(&schema())?;
        let behind = FaultProxy::for_postgres(server.addr(), seed)?;
        let front = FaultProxy::for_postgres(behind.addr(), seed)?;
        let workload = Workload::alone(front.addr(), &Login::default(), seed, CLIENTS)?;
        Ok(Self { workload, _faults: [front, behind], _server: server })
    }

    /// The longest operation that was under way at some time after `since`.
    pub fn longest(&self, since: Instant) -> Duration {
        let journals = self.workload.journals.iter();
        journals.map(|journal| journal.longest(since)).max().unwrap_or_default()
    }
}
