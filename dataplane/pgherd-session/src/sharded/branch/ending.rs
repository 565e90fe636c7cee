//! How a branch gives its connection back.

use std::sync::Arc;
use std::time::Duration;

use pgherd_pool::{Lease, WorkerStats};

use super::Branch;
use crate::clients::Detach;
use crate::salvage;

/// How long a connection may take to become clean.
const DEADLINE: Duration = Duration::from_secs(5);

impl Drop for Branch {
    fn drop(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        let entry = Arc::clone(&self.front.entry);
        let target = Arc::clone(&lease.info.cancel);
        let stats = lease.pool().worker_stats(self.front.worker.index);
        let busy = u64::try_from(self.leased_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        WorkerStats::add(&stats.busy_micros, busy);
        let detached = entry.try_detach_branch(&target);
        if self.is_broken || self.is_cut || detached == Detach::Lost {
            return;
        }
        let is_clean = self.passing == 0 && lease.owed.is_free() && self.input.is_empty();
        self.input.park(&self.front.worker.buffers);
        if detached == Detach::Clean && is_clean && !lease.tainted {
            lease.release();
            return;
        }
        let unread = self.input.unscanned().to_vec();
        let skip = self.passing;
        // What is still to be answered may leave state of which nobody keeps books.
        let needs_reset = lease.tainted || !lease.owed.is_empty();
        // It ends by itself within seconds, or with the worker.
        tokio::task::spawn_local(async move {
            let give_back = async {
                // A cancel may still hit this connection: nobody else gets it before it has.
                entry.cancels_done().await;
                if entry.try_detach_branch(&target) == Detach::Lost {
                    return;
                }
                clean(lease, unread, skip, needs_reset).await;
            };
            if tokio::time::timeout(DEADLINE, give_back).await.is_err() {
                tracing::info!("server connection not salvaged within {DEADLINE:?}");
            }
        });
    }
}

async fn clean(lease: Lease, unread: Vec<u8>, skip: usize, needs_reset: bool) {
    match salvage::clean(lease, unread, skip, needs_reset).await {
        Ok(lease) => lease.release(),
        Err(error) => tracing::debug!("server connection not salvaged: {error}"),
    }
}
