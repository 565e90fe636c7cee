//! Ctrl-C and its relatives as a flag that the demo looks at between and during its steps.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Whether the user wants an end.
#[derive(Clone, Debug)]
pub struct Stop {
    state: Arc<(Mutex<bool>, Condvar)>,
}

// === impl Stop ===

impl Stop {
    /// Listens for SIGINT, SIGTERM and SIGHUP from now on. The second one ends the process at
    /// once; what was started dies with it.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self { state: Arc::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Registered before the thread starts, so that no signal falls between.
        let guard = runtime.enter();
        let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = signals.map(signal);
        let mut signals = (interrupt?, terminate?, hangup?);
        drop(guard);
        let notify = stop.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                any(&mut signals).await;
                notify.request();
                any(&mut signals).await;
                std::process::exit(130);
            });
        })?;
        Ok(stop)
    }

    /// Whether an end was asked for.
    pub fn requested(&self) -> bool {
        *self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits up to `timeout` for that; whether it was.
    pub fn wait(&self, timeout: Duration) -> bool {
        let requested = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.state.1.wait_timeout_while(requested, timeout, |requested| !*requested);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn request(&self) {
        *self.state.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.state.1.notify_all();
    }
}

async fn any((interrupt, terminate, hangup): &mut (Signal, Signal, Signal)) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
