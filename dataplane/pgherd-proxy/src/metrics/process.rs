//! Metrics of the process as a whole.

use std::sync::atomic::{AtomicU64, Ordering};

use pgherd_session::Shared;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;

use super::families::{Family, families};

families! {
    /// What the process has done, and who is there.
    ProcessMetrics {
        /// The release that runs.
        build: Info<[(&'static str, &'static str); 1]> = "pgherd_build";
        /// Clients that are logged in.
        clients: ConstGauge<usize> = "pgherd_clients";
        /// Client connections that were accepted.
        accepted: ConstCounter<u64> = "pgherd_accepted";
        /// Times that a client moved to a worker that had more time for it.
        moved: ConstCounter<u64> = "pgherd_moved_clients";
        /// Logins that failed.
        failed_logins: ConstCounter<u64> = "pgherd_failed_logins";
        /// Cancel requests: sent on to a server or another proxy, or ignored since their key fits
        /// nobody who runs anything.
        cancels: Family<[(&'static str, &'static str); 1], ConstCounter<u64>> = "pgherd_cancels";
    }
}

impl ProcessMetrics {
    /// The values of this moment.
    pub(super) fn read(shared: &Shared) -> Self {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let cancels = [("sent", &shared.cancels_sent), ("ignored", &shared.cancels_ignored)];
        Self {
            build: Info::new([("version", env!("CARGO_PKG_VERSION"))]),
            clients: ConstGauge::new(shared.clients.len()),
            accepted: ConstCounter::new(read(&shared.accepted)),
            moved: ConstCounter::new(read(&shared.moved)),
            failed_logins: ConstCounter::new(read(&shared.failed_logins)),
            cancels: Family(
                cancels
                    .into_iter()
                    .map(|(outcome, n)| ([("outcome", outcome)], ConstCounter::new(read(n))))
                    .collect(),
            ),
        }
    }
}
