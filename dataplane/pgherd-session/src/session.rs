//! The life of one client: login, then idle and relaying by turns, then an orderly end.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ahash::AHashMap;
use bytes::Bytes;
use pgherd_config::PoolMode;
use pgherd_pool::{Lease, Pool, Socket, Statement, Targets, Unnamed, WorkerStats};
use pgherd_wire::backend;
use pgherd_wire::frame::Header;
use pgherd_wire::{ErrorResponse, ParamSet, TransactionStatus, frontend, sqlstate};
use tokio::io::AsyncWriteExt;

use crate::admission::Admission;
use crate::clients::{ClientEntry, Registration};
use crate::direction::Direction;
use crate::end::End;
use crate::login::{self, Client, LoggedIn};
use crate::migrant::Migrant;
use crate::prepared::Prepared;
use crate::routing::Routing;
use crate::settle::SessionState;
use crate::shared::{Phase, Worker};
use crate::timeouts::{Activity, Watch};
use crate::timing::Timing;

/// A client that has logged in.
pub(crate) struct Session {
    pub(crate) worker: Rc<Worker>,
    pub(crate) client: Socket,
    pub(crate) registration: Registration,
    /// Counts the client for as long as the session lives.
    pub(crate) admission: Admission,
    /// Where its statements can go.
    pub(crate) targets: Arc<Targets>,
    /// The instance to which they went last.
    pub(crate) pool: Arc<Pool>,
    /// Which instance they go to.
    pub(crate) routing: Routing,
    /// Which topology the pool was found in.
    pub(crate) generation: u64,
    /// How long the client waits for a server connection.
    pub(crate) checkout_timeout: Duration,
    pub(crate) lease: Option<Lease>,
    /// Since when the lease is held.
    pub(crate) leased_at: Instant,
    /// State of the session that lives on the server connection.
    pub(crate) state: SessionState,
    pub(crate) timing: Timing,
    /// What the sweep of timeouts sees; `None` where nothing is limited.
    pub(crate) watch: Option<Rc<Watch>>,
    pub(crate) from_client: Direction,
    pub(crate) from_server: Direction,
    /// The session parameters that the client has now, and those that it began with.
    pub(crate) params: Arc<ParamSet>,
    pub(crate) startup_params: Arc<ParamSet>,
    pub(crate) statements: AHashMap<Bytes, Arc<Statement>>,
    pub(crate) unnamed: Option<Unnamed>,
    /// Whether the statement bound last is a plain `SET`.
    pub(crate) prepared: Prepared,
    pub(crate) portal_sets: bool,
    /// The end of the part of a long query that was looked at already.
    pub(crate) query_tail: Vec<u8>,
    /// The last query was too long to be looked at as a whole.
    pub(crate) query_was_long: bool,
    /// After an error of the proxy itself: everything up to the next Sync is discarded.
    pub(crate) discarding: bool,
    /// The server has told the client itself that the connection ends.
    pub(crate) saw_fatal: bool,
    /// How the session ends once the requests before have been answered: the client has said
    /// goodbye or something that cannot be understood.
    pub(crate) last_word: Option<End>,
    /// ReadyForQuery that are owed behind a batch whose outcome decides which statements there
    /// are: until they have come, no later message that names a statement is looked at.
    pub(crate) unsettled: usize,
    /// The batch under way decides which statements there are.
    pub(crate) batch_defines: bool,
    /// The next message waits until it is known which statements there are.
    pub(crate) blocked: bool,
    /// In statement mode: a transaction was left open.
    pub(crate) rollback_due: bool,
    /// A RESET has been answered and its ReadyForQuery has not come.
    pub(crate) after_reset: bool,
    /// A server connection was given back since the client came to this worker.
    pub(crate) has_worked: bool,
}

/// Serves one accepted connection until it ends, or moves to another worker. Runs on the worker's
/// own thread.
///
/// Not cancel safe: dropped, it closes the client's connection and the server connection that it
/// holds.
pub async fn serve(
    worker: Rc<Worker>,
    mut socket: Socket,
    address: Option<SocketAddr>,
) -> Option<Migrant> {
    let login = Box::pin(tokio::time::timeout(
        worker.shared.limits.login_timeout,
        login::log_in(&mut socket, &worker, address),
    ));
    match login.await {
        Err(_) => {
            tracing::info!(?address, "login took too long");
            worker.shared.failed_logins.fetch_add(1, Ordering::Relaxed);
            let error = ErrorResponse::fatal(
                sqlstate::INVALID_AUTHORIZATION,
                "canceling authentication due to timeout",
            );
            say(&mut socket, &error).await;
        }
        Ok(Err(error)) => {
            login::report_failure(&worker, address, &error);
            if let Some(response) = error.for_client() {
                say(&mut socket, &response).await;
            }
        }
        Ok(Ok(LoggedIn::Nobody)) => {}
        Ok(Ok(LoggedIn::Admin { user })) => {
            let shared = Arc::clone(&worker.shared);
            if let Err(error) = Box::pin(crate::admin::serve(&mut socket, &shared, &user)).await {
                tracing::debug!(user, "admin session ended: {error}");
            }
        }
        Ok(Ok(LoggedIn::Replication(client))) => {
            Box::pin(crate::replication::serve(worker, socket, *client)).await;
        }
        Ok(Ok(LoggedIn::Client(client))) if client.shards.is_some() => {
            Box::pin(crate::sharded::serve(worker, socket, *client)).await;
        }
        Ok(Ok(LoggedIn::Client(client))) => {
            // On the heap: as part of the future it would be there several times.
            return Box::new(Session::new(worker, socket, *client)).run().await;
        }
    }
    None
}

/// Goes on serving a client that comes from another worker.
///
/// Not cancel safe: dropped, it closes the client's connection and the server connection that it
/// holds.
pub async fn resume(worker: Rc<Worker>, migrant: Migrant) -> Option<Migrant> {
    match Session::arrive(worker, migrant) {
        Ok(session) => Box::new(session).run().await,
        Err(error) => {
            tracing::warn!("cannot register a client's socket: {error}");
            None
        }
    }
}

/// Says one last thing, as far as the socket takes it within a moment.
pub(crate) async fn say(socket: &mut Socket, error: &ErrorResponse<'_>) {
    let mut out = Vec::new();
    error.put(&mut out);
    let write = async {
        socket.write_all(&out).await?;
        socket.shutdown().await
    };
    // A peer that does not listen misses it.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), write).await;
}

/// What an idle session is woken for.
enum Wake {
    /// A message that needs a server connection stands at the head of the buffer.
    Work,
    /// Another worker has more time for this client.
    Move(usize),
    End(End),
}

/// What the relay stops for.
pub(crate) enum Stop {
    /// The server connection is free for the next client.
    Release,
    /// It is idle, and what state there is on it is not known.
    Settle,
    End(End),
}

impl Session {
    pub(crate) fn new(worker: Rc<Worker>, client: Socket, login: Client) -> Self {
        let mut from_client = Direction::default();
        from_client.buffer.preload(&login.unread, &worker.buffers);
        let entry = &login.registration.entry;
        let rules = worker.shared.directory.rules(&entry.database, &entry.user);
        let watch = Watch::begin(&worker, rules.timeouts, entry);
        let mut session = Self {
            checkout_timeout: rules.checkout_timeout,
            watch,
            targets: login.targets,
            routing: Routing::default(),
            timing: Timing::default(),
            generation: login.generation,
            worker,
            client,
            registration: login.registration,
            admission: login.admission,
            pool: login.pool,
            lease: None,
            leased_at: Instant::now(),
            state: SessionState::default(),
            from_client,
            from_server: Direction::default(),
            startup_params: Arc::clone(&login.params),
            params: login.params,
            statements: AHashMap::new(),
            unnamed: None,
            prepared: Prepared::default(),
            portal_sets: false,
            query_tail: Vec::new(),
            query_was_long: false,
            discarding: false,
            saw_fatal: false,
            last_word: None,
            unsettled: 0,
            batch_defines: false,
            blocked: false,
            rollback_due: false,
            after_reset: false,
            has_worked: false,
        };
        session.look_at_wishes();
        session
    }

    pub(crate) fn entry(&self) -> &ClientEntry {
        &self.registration.entry
    }

    pub(crate) fn stats(&self) -> &WorkerStats {
        self.pool.worker_stats(self.worker.index)
    }

    async fn run(mut self: Box<Self>) -> Option<Migrant> {
        let end = loop {
            if self.lease.is_none() {
                match poll_fn(|cx| self.poll_idle(cx)).await {
                    Wake::Work => {}
                    Wake::Move(to) => return Some(self.depart(to)),
                    Wake::End(end) => break end,
                }
                match self.check_out().await {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(end) => break end,
                }
            }
            match poll_fn(|cx| self.poll_relay(cx)).await {
                Stop::Release => {
                    if !self.release() {
                        Box::pin(self.release_after_cancels()).await;
                    }
                }
                Stop::Settle => {
                    if let Err(end) = Box::pin(self.settle()).await {
                        break end;
                    }
                    if !self.state.is_bound() && !self.release() {
                        Box::pin(self.release_after_cancels()).await;
                    }
                }
                Stop::End(end) if self.survives(&end) => {}
                Stop::End(end) => break end,
            }
        };
        Box::pin(self.finish(end)).await;
        None
    }

    /// Waits without a server connection, answering by itself what needs none.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        self.registration.entry.register(cx.waker());
        self.note_activity(Activity::Idle);
        if let Err(end) = self.obey_idle_timeout() {
            return Poll::Ready(Wake::End(end));
        }
        loop {
            match ready!(self.poll_flush_client(cx)) {
                Ok(_) => self.from_server.park(&self.worker.buffers),
                Err(error) => return Poll::Ready(Wake::End(End::ClientIo(error))),
            }
            match self.look_at_head() {
                Ok(Head::NeedsServer) => return Poll::Ready(Wake::Work),
                Ok(Head::Answered) => continue,
                Ok(Head::Incomplete) => {}
                Err(end) => return Poll::Ready(Wake::End(end)),
            }
            self.from_client.compact();
            self.from_client.park(&self.worker.buffers);
            // The buffer is taken only once there are bytes to put into it.
            match self.client.poll_read_ready(cx) {
                Poll::Pending if self.is_draining() => {
                    return Poll::Ready(Wake::End(End::ShuttingDown));
                }
                Poll::Pending => {
                    if self.can_move()
                        && let Some(to) = self.worker.take_relief()
                    {
                        return Poll::Ready(Wake::Move(to));
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Wake::End(End::ClientIo(error))),
                Poll::Ready(Ok(())) => {}
            }
            let buffers = &self.worker.buffers;
            match self.from_client.buffer.poll_fill(cx, &mut self.client, buffers) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Wake::End(End::ClientGone)),
                Poll::Ready(Ok(n)) if self.routing.has_choice() => {
                    self.routing.received += n as u64;
                }
                Poll::Ready(Ok(n)) => WorkerStats::add(&self.stats().bytes_received, n as u64),
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Wake::End(End::ClientIo(error)));
                }
                // Readiness was stale: the waker is registered now.
                Poll::Pending => {
                    self.from_client.park(&self.worker.buffers);
                    if self.is_draining() {
                        return Poll::Ready(Wake::End(End::ShuttingDown));
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Whether the client is to be told goodbye as soon as it is idle.
    fn is_draining(&self) -> bool {
        self.worker.shared.phase() != Phase::Running
    }

    /// Writes to the client what is due. The buffer of the other side is free afterwards.
    pub(crate) fn poll_flush_client(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.from_server.outbox.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let buffer = &self.from_server.buffer;
        let sent = ready!(self.from_server.outbox.poll_flush(cx, &mut self.client, buffer))?;
        WorkerStats::add(&self.stats().bytes_sent, sent as u64);
        self.from_server.compact();
        Poll::Ready(Ok(sent))
    }

    /// Looks at the message at the head of the buffer while no server connection is held.
    fn look_at_head(&mut self) -> Result<Head, End> {
        if !self.from_client.move_on() {
            return Ok(Head::Incomplete);
        }
        let unscanned = self.from_client.buffer.unscanned();
        let Some(header) = Header::peek(unscanned).map_err(End::ClientFrame)? else {
            return Ok(Head::Incomplete);
        };
        match header.tag {
            frontend::tag::TERMINATE => return Err(End::Terminated),
            frontend::tag::SYNC if self.discarding => {
                self.discarding = false;
                let outbox = &mut self.from_server.outbox;
                let status = match self.routing.has_lost_transaction {
                    true => TransactionStatus::Failed,
                    false => TransactionStatus::Idle,
                };
                outbox.own(|out| backend::put_ready(out, status));
            }
            tag if !is_frontend_tag(tag) => return Err(End::UnknownMessage(tag)),
            // Left over from a COPY that has ended: Postgres ignores them too.
            frontend::tag::COPY_DATA
            | frontend::tag::COPY_DONE
            | frontend::tag::COPY_FAIL
            | frontend::tag::FLUSH => {}
            _ if self.discarding => {}
            _ if is_ready_to_send(unscanned, header) => {
                let Some(command) = self.command_at_head(header) else {
                    return Ok(Head::NeedsServer);
                };
                self.run_command(header, &command);
                return Ok(Head::Answered);
            }
            _ => return Ok(Head::Incomplete),
        }
        self.from_client.discard(header.total_len());
        Ok(Head::Answered)
    }

    /// Whether server connections stay with the client until it leaves.
    pub(crate) fn is_session_mode(&self) -> bool {
        self.pool.settings().mode == PoolMode::Session
    }

    async fn finish(mut self: Box<Self>, end: End) {
        match &end {
            End::Terminated | End::ClientGone | End::ShuttingDown => {
                tracing::debug!(user = %self.entry().user, "client session ended: {end}");
            }
            _ => {
                let cause = std::error::Error::source(&end).map(ToString::to_string);
                tracing::info!(
                    user = %self.entry().user,
                    database = %self.entry().database,
                    cause,
                    "client session ended: {end}",
                );
            }
        }
        if let Some(response) = end.for_client() {
            let flush = poll_fn(|cx| self.poll_flush_client(cx));
            let flushed = tokio::time::timeout(Duration::from_secs(1), flush).await;
            // A FATAL error of the server itself has said it already.
            let said = matches!(end, End::ServerClosed | End::ServerIo(_)) && self.saw_fatal;
            if matches!(flushed, Ok(Ok(_))) && !said && self.from_server.is_between_messages() {
                say(&mut self.client, &response).await;
            }
        }
        if let Some(lease) = self.lease.take() {
            self.account();
            Box::pin(self.salvage(lease, &end)).await;
        }
    }
}

/// What stands at the head of the buffer.
enum Head {
    NeedsServer,
    Answered,
    Incomplete,
}

/// The longest message that is not sent before all of it is there, so that a client that stops in
/// the middle holds no server connection.
const MAX_AWAITED: usize = 8 * 1024;

/// Whether enough of a message is there to begin with it.
pub(crate) fn is_ready_to_send(unscanned: &[u8], header: Header) -> bool {
    header.total_len() > MAX_AWAITED || unscanned.len() >= header.total_len()
}

/// Whether a client may send this message after startup.
pub(crate) fn is_frontend_tag(tag: u8) -> bool {
    matches!(
        tag,
        b'B' | b'C' | b'D' | b'E' | b'F' | b'H' | b'P' | b'Q' | b'S' | b'X' | b'c' | b'd' | b'f'
    )
}
