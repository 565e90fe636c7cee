//! Making one connection for a pool, as often as it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;

use crate::pool::Pool;
use crate::server::ServerConn;

/// The first pause after a failed attempt; it doubles up to [`MAX_BACKOFF`].
const MIN_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// A connection that is being made.
pub(crate) struct Growth {
    pool: Arc<Pool>,
    worker: usize,
    done: bool,
}

impl Growth {
    /// For a place in the pool that has been counted already; given back when nothing comes of it.
    pub(crate) fn new(pool: Arc<Pool>, worker: usize) -> Self {
        Self { pool, worker, done: false }
    }

    /// Tries until it succeeds, nobody wants the connection any more, or trying is pointless.
    pub(crate) async fn run(mut self) {
        let settings = self.pool.settings();
        let mut backoff = MIN_BACKOFF;
        loop {
            match settings.endpoint.connect(settings.connect_timeout).await {
                Ok(connected) => {
                    *self.pool.welcome.lock() = Some(Arc::new(connected.params.clone()));
                    let expires_at = settings.server_lifetime.map(|lifetime| {
                        Instant::now() + lifetime.mul_f64(rand::rng().random_range(0.9..1.0))
                    });
                    let conn = Box::new(ServerConn::new(connected, self.worker, expires_at));
                    self.done = true;
                    {
                        let mut state = self.pool.state.lock();
                        state.connecting -= 1;
                        state.last_error = None;
                        state.register(&conn.entry);
                    }
                    self.pool.give(conn);
                    return;
                }
                Err(error) => {
                    let error = Arc::new(error);
                    let transient = error.is_transient();
                    tracing::warn!(
                        cluster = settings.cluster,
                        user = settings.user,
                        instance = settings.endpoint.address(),
                        "cannot connect to the instance: {}",
                        error.chain(),
                    );
                    self.pool.state.lock().last_error = Some(Arc::clone(&error));
                    if !transient {
                        self.pool.fail_waiters(&error);
                    }
                    let wanted = !self.pool.state.lock().waiters.is_empty();
                    if !wanted || self.pool.is_retired() {
                        return;
                    }
                    let pause = backoff.mul_f64(rand::rng().random_range(0.5..1.0));
                    tokio::time::sleep(pause).await;
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                }
            }
        }
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        if !self.done {
            let mut state = self.pool.state.lock();
            state.connecting -= 1;
            state.total -= 1;
        }
    }
}
