//! Clients that have nothing to do with the fault, nor with pgherd.

use std::time::{Duration, Instant};

use anyhow::Result;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::raw::Login;

use super::{Clients, Workload, schema};

/// One client of each of these is enough: they are never all delayed by chance.
const CLIENTS: Clients =
    Clients { transfers: 1, reads: 1, prepared: 0, copies: 0, pipelines: 0, logins: 0 };

/// A server beside those of the case, and clients that work straight on it.
pub struct Control {
    // The clients end before their server.
    workload: Workload,
    _server: Postgres,
}

impl Control {
    pub fn start(seed: u64) -> Result<Self> {
        let server = Postgres::start()?;
        server.sql(&schema())?;
        let workload = Workload::alone(server.addr(), &Login::default(), seed, CLIENTS)?;
        Ok(Self { workload, _server: server })
    }

    /// The longest operation that was under way at some time after `since`.
    pub fn longest(&self, since: Instant) -> Duration {
        let journals = self.workload.journals.iter();
        journals.map(|journal| journal.longest(since)).max().unwrap_or_default()
    }
}
