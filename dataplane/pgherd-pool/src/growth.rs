//! Making one connection for a pool, as often as it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;

use crate::connect::ConnectError;
use crate::pool::Pool;
use crate::server::ServerConn;
use crate::statements::ServerStatements;

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
                    let mut conn = ServerConn::new(connected, self.worker, expires_at);
                    conn.statements = ServerStatements::new(settings.server_prepared_statements);
                    let conn = Box::new(conn);
                    self.done = true;
                    {
                        let mut state = self.pool.state.lock();
                        state.connecting -= 1;
                        if state.last_error.take().is_some() {
                            tracing::info!(
                                cluster = settings.cluster,
                                instance = settings.endpoint.address(),
                                "connected to the instance again",
                            );
                        }
                        state.register(&conn.entry);
                    }
                    self.pool.give(conn);
                    return;
                }
                Err(error) => {
                    let error = Arc::new(error);
                    let transient = error.is_transient();
                    self.complain(&error);
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

impl Growth {
    /// Once for each reason, until a connection has been made.
    fn complain(&self, error: &ConnectError) {
        let settings = self.pool.settings();
        let reason = error.chain();
        let known = self.pool.last_error().is_some_and(|last| last.chain() == reason);
        let (cluster, user) = (settings.cluster.as_str(), settings.user.as_str());
        let instance = settings.endpoint.address();
        if known {
            tracing::debug!(cluster, user, instance, "still no connection: {reason}");
        } else {
            tracing::warn!(cluster, user, instance, "cannot connect to the instance: {reason}");
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
