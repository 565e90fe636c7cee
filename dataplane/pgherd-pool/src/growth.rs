//! Making one connection for a pool, as often as it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pgherd_wire::ParamSet;
use rand::RngExt;

use crate::connect::ConnectError;
use crate::limits::Permit;
use crate::pool::{Pool, Refusal};
use crate::server::ServerConn;
use crate::statements::ServerStatements;

/// The first pause after a failed attempt; it doubles up to [`MAX_BACKOFF`].
const MIN_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// The first pause after a login that was refused for good; it doubles up to [`MAX_REFUSAL`].
/// Meanwhile clients get the refusal at once, and Postgres's log is not filled with it.
const MIN_REFUSAL: Duration = Duration::from_millis(250);
const MAX_REFUSAL: Duration = Duration::from_secs(5);

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
        let mut backoff = MIN_BACKOFF;
        loop {
            let permit = self.pool.budgets.permit(&self.pool, || self.is_wanted()).await;
            let Some(permit) = permit else { return };
            let begun = Instant::now();
            let error = match self.connect(permit).await {
                Ok((conn, welcome)) => return self.deliver(conn, welcome),
                Err(error) => Arc::new(error),
            };
            self.note_failure(&error, begun);
            // After a refusal the next attempt is made when its time has come.
            if !self.is_wanted() || self.pool.state.lock().refusal.is_some() {
                return;
            }
            let pause = backoff.mul_f64(rand::rng().random_range(0.5..1.0));
            backoff = (backoff * 2).min(MAX_BACKOFF);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // One that has no connection to spare has none when somebody else gets one.
                () = self.pool.instance().wait_reached(), if error.blames_instance() => {
                    backoff = MIN_BACKOFF;
                }
            }
        }
    }

    /// Whether a client waits, or the pool has fewer connections than it shall.
    fn is_wanted(&self) -> bool {
        let state = self.pool.state.lock();
        let short = state.total - state.connecting < self.pool.settings().min_size;
        !self.pool.is_retired() && (!state.waiters.is_empty() || (short && state.refusal.is_none()))
    }

    /// The connection, and the parameters that a client finds on it.
    async fn connect(&self, permit: Permit) -> Result<(Box<ServerConn>, ParamSet), ConnectError> {
        let settings = self.pool.settings();
        let limit = settings.connect_timeout;
        let connected = settings.endpoint.connect(limit).await?;
        *self.pool.reported.lock() = connected.reported.clone().into();
        let mut welcome = connected.params.clone();
        let expires_at = settings
            .server_lifetime
            .map(|lifetime| Instant::now() + lifetime.mul_f64(rand::rng().random_range(0.9..1.0)));
        let mut conn = Box::new(ServerConn::new(connected, self.worker, expires_at, permit));
        conn.statements = ServerStatements::new(settings.server_prepared_statements);
        let query = conn.run_connect_query(settings.connect_query.as_deref());
        match tokio::time::timeout(limit, query).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(ConnectError::ConnectQuery(error)),
            Err(_) => return Err(ConnectError::Timeout(limit)),
        }
        // What it has set is what clients begin with.
        for (name, value) in conn.params.iter() {
            welcome.set(name, value);
        }
        // A hot standby refuses what is serializable, so that it must be known of a user.
        let has_choice = !self.pool.instance().is_alone();
        if settings.connect_query.is_some() || has_choice {
            let base = async {
                let mut base = match settings.connect_query {
                    Some(_) => conn.unreported_settings(&welcome).await?,
                    None => ParamSet::default(),
                };
                if has_choice {
                    conn.note_isolation(&mut base).await?;
                }
                Ok(base)
            };
            match tokio::time::timeout(limit, base).await {
                Ok(Ok(base)) => {
                    conn.params = Arc::new(conn.params.with_unreported(&welcome, base.iter()));
                    *self.pool.base.lock() = Arc::new(base);
                }
                Ok(Err(error)) => return Err(ConnectError::ConnectQuery(error)),
                Err(_) => return Err(ConnectError::Timeout(limit)),
            }
        }
        Ok((conn, welcome))
    }

    fn deliver(&mut self, conn: Box<ServerConn>, welcome: ParamSet) {
        let settings = self.pool.settings();
        *self.pool.welcome.lock() = Some(Arc::new(welcome));
        self.done = true;
        {
            let mut state = self.pool.state.lock();
            state.connecting -= 1;
            state.refusal = None;
            if state.last_error.take().is_some() {
                tracing::info!(
                    cluster = settings.cluster,
                    instance = settings.endpoint.address(),
                    "connected to the instance again",
                );
            }
            state.register(&conn.entry);
        }
        self.pool.instance().reached();
        self.pool.give(conn);
    }

    fn note_failure(&self, error: &Arc<ConnectError>, begun: Instant) {
        self.complain(error);
        let transient = error.is_transient();
        {
            let mut state = self.pool.state.lock();
            state.last_error = Some(Arc::clone(error));
            state.refusal = (!transient).then(|| {
                let last = state.refusal.as_ref().map_or(Duration::ZERO, |it| it.pause);
                let pause = (last * 2).clamp(MIN_REFUSAL, MAX_REFUSAL);
                let until = Instant::now() + pause.mul_f64(rand::rng().random_range(0.75..1.0));
                Refusal { error: Arc::clone(error), until, pause }
            });
        }
        if !transient {
            self.pool.fail_waiters(error);
        }
        if let Some(class) = error.evidence() {
            self.pool.instance().report(class, &error.chain(), Some(begun));
        }
    }

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
            {
                let mut state = self.pool.state.lock();
                state.connecting -= 1;
                state.total -= 1;
            }
            // Somebody may have come who relied on this one when it had just given up.
            self.pool.grow(self.worker);
        }
    }
}
