//! The thread that looks after the health of the instances, and after transactions over several
//! shards that were left in doubt; no client keeps it busy.

use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use pgherd_session::{Shared, settle_transactions};
use tokio::sync::oneshot;

/// The thread. Dropped without being stopped it goes on.
#[derive(Debug)]
pub struct InstanceWatch {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl InstanceWatch {
    /// Starts it.
    pub fn start(shared: &Arc<Shared>) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a runtime")?;
        let (stop, stopped) = oneshot::channel();
        let watching = shared.directory.watch_instances();
        let settling = settle_transactions(Arc::clone(shared));
        let thread = std::thread::Builder::new()
            .name("health".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = watching => {}
                        () = settling => {}
                        _ = stopped => {}
                    }
                });
                // A name that is being resolved must not keep the process.
                runtime.shutdown_background();
            })
            .context("cannot start the health thread")?;
        Ok(Self { stop, thread })
    }

    /// Ends it.
    pub fn stop(self) {
        // When nobody listens it has ended already.
        let _ = self.stop.send(());
        if self.thread.join().is_err() {
            tracing::error!("the health thread has panicked");
        }
    }
}
