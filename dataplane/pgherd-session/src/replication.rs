//! A replication client and its own server connection: bytes both ways until either side ends.
//!
//! No SQL is read, no reply is expected and nothing is held back: the two directions know nothing
//! of each other, so that keepalives pass while the other direction is stuck. Only headers are
//! looked at, to know where a message ends and whether the client could be told goodbye now.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pgherd_pool::{ReplicationConn, Socket, send_cancel};
use pgherd_wire::backend::tag as backend;
use pgherd_wire::frame::{HEADER_LEN, Header};
use pgherd_wire::frontend::tag as frontend;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::admission::Admission;
use crate::buffer::BufferPool;
use crate::clients::Registration;
use crate::direction::Direction;
use crate::end::End;
use crate::login::ReplicationClient;
use crate::session::say;
use crate::shared::{Phase, Worker};

const TERMINATE: [u8; 5] = [frontend::TERMINATE, 0, 0, 0, 4];

/// How long a peer may take to read what comes before its end.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// What the server connection is doing, as far as a goodbye depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    /// So many requests have not been answered with ReadyForQuery; 0 for an idle connection.
    Answering(usize),
    /// As `Answering`, with a COPY FROM under way, in which Sync counts for nothing.
    CopyIn(usize),
    /// A transaction is open and nothing runs.
    InTransaction,
    /// Copy data in both directions, for as long as both sides like.
    Streaming,
}

impl Activity {
    fn after_request(self, tag: u8) -> Self {
        let answered = matches!(tag, frontend::QUERY | frontend::FUNCTION_CALL | frontend::SYNC);
        match self {
            Self::Answering(owed) if answered => Self::Answering(owed + 1),
            Self::InTransaction if answered => Self::Answering(1),
            Self::CopyIn(owed) if matches!(tag, frontend::COPY_DONE | frontend::COPY_FAIL) => {
                Self::Answering(owed)
            }
            other => other,
        }
    }

    /// `status` is the first byte of the reply's body.
    fn after_reply(self, tag: u8, status: Option<u8>) -> Self {
        let owed = match self {
            Self::Answering(owed) | Self::CopyIn(owed) => owed,
            // The stream is one request, and nothing else was asked meanwhile.
            Self::InTransaction | Self::Streaming => 1,
        };
        match tag {
            backend::COPY_BOTH => Self::Streaming,
            backend::COPY_IN => Self::CopyIn(owed),
            // The copy has failed: what the client still sends of it is not answered.
            backend::ERROR if matches!(self, Self::CopyIn(_)) => Self::Answering(owed),
            backend::READY_FOR_QUERY => match owed.saturating_sub(1) {
                0 if status != Some(b'I') => Self::InTransaction,
                left => Self::Answering(left),
            },
            _ => self,
        }
    }
}

struct Relay {
    worker: Rc<Worker>,
    client: Socket,
    registration: Registration,
    /// Its place among the clients that are allowed.
    _admission: Admission,
    server: ReplicationConn,
    /// The name by which the source was found, and in which topology.
    cluster: String,
    generation: u64,
    from_client: Direction,
    from_server: Direction,
    activity: Activity,
}

/// Relays until one side ends. Not cancel safe: dropped, it closes both connections.
pub(crate) async fn serve(worker: Rc<Worker>, client: Socket, login: ReplicationClient) {
    let mut from_client = Direction::default();
    from_client.buffer.preload(&login.unread, &worker.buffers);
    let mut relay = Relay {
        worker,
        client,
        registration: login.registration,
        _admission: login.admission,
        server: login.server,
        cluster: login.cluster,
        generation: login.generation,
        from_client,
        from_server: Direction::default(),
        activity: Activity::Answering(0),
    };
    relay.scan_client();
    let end = poll_fn(|cx| relay.poll(cx)).await;
    relay.finish(end).await;
}

impl Relay {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.registration.entry.register(cx.waker());
        loop {
            let moved = self.poll_from_client(cx);
            match moved.and_then(|moved| Ok(self.poll_from_server(cx)? || moved)) {
                Ok(true) => {}
                Ok(false) => break,
                Err(end) => return Poll::Ready(end),
            }
        }
        self.from_client.park(&self.worker.buffers);
        self.from_server.park(&self.worker.buffers);
        match self.reason_to_end() {
            Some(end) => Poll::Ready(end),
            None => Poll::Pending,
        }
    }

    /// Moves bytes to the server. `true` when something was moved.
    fn poll_from_client(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let (direction, server) = (&mut self.from_client, &mut self.server.socket);
        match poll_flush(direction, cx, server) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(())) => {}
            // It may have said why before it closed: that is read first.
            Poll::Ready(Err(_)) => direction.outbox.clear(),
        }
        direction.compact();
        match poll_fill(direction, cx, &mut self.client, &self.worker.buffers) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(0)) => return Err(End::ClientGone),
            Poll::Ready(Ok(read)) => count(&self.server.entry.totals.received, read),
            Poll::Ready(Err(error)) => return Err(End::ClientIo(error)),
        }
        self.scan_client();
        Ok(true)
    }

    fn scan_client(&mut self) {
        while self.from_client.move_on() {
            match Header::peek(self.from_client.buffer.unscanned()) {
                Ok(None) => break,
                Ok(Some(header)) => {
                    self.activity = self.activity.after_request(header.tag);
                    self.from_client.pass(header.total_len());
                }
                // No message: the server says what it thinks of that, and of all that follows.
                Err(_) => self.from_client.pass(usize::MAX),
            }
        }
    }

    /// Moves bytes to the client. `true` when something was moved.
    fn poll_from_server(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let direction = &mut self.from_server;
        match poll_flush(direction, cx, &mut self.client) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Err(End::ClientIo(error)),
        }
        direction.compact();
        match poll_fill(direction, cx, &mut self.server.socket, &self.worker.buffers) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(0)) => return Err(End::ServerClosed),
            Poll::Ready(Ok(read)) => count(&self.server.entry.totals.sent, read),
            Poll::Ready(Err(error)) => return Err(End::ServerIo(error)),
        }
        while self.from_server.move_on() {
            let unscanned = self.from_server.buffer.unscanned();
            let Some(header) = Header::peek(unscanned).map_err(End::ServerFrame)? else { break };
            let status = unscanned.get(HEADER_LEN).copied();
            if header.tag == backend::READY_FOR_QUERY && status.is_none() {
                break;
            }
            self.activity = self.activity.after_reply(header.tag, status);
            self.registration.entry.set_streaming(self.activity == Activity::Streaming);
            self.from_server.pass(header.total_len());
        }
        Ok(true)
    }

    /// Why the client is told goodbye now, between two messages.
    fn reason_to_end(&mut self) -> Option<End> {
        let between = self.from_server.outbox.is_empty()
            && self.from_server.is_between_messages()
            && self.from_client.outbox.is_empty();
        if !between {
            return None;
        }
        if !self.is_served() {
            return Some(End::NotServed);
        }
        let told = match self.worker.shared.phase() {
            Phase::Running => false,
            Phase::Draining => self.activity == Activity::Answering(0),
            // As Postgres's own shutdown: senders are told last, for others may depend on them.
            Phase::OnlyStreams => {
                matches!(self.activity, Activity::Answering(0) | Activity::Streaming)
            }
        };
        told.then_some(End::ShuttingDown)
    }

    /// Whether the topology still has this source: a new primary is found by connecting again.
    fn is_served(&mut self) -> bool {
        let directory = &self.worker.shared.directory;
        let generation = directory.generation();
        if generation == self.generation {
            return true;
        }
        let user = &self.registration.entry.user;
        let same = directory
            .replication_source(&self.cluster, user)
            .is_ok_and(|source| source.endpoint == self.server.entry.source.endpoint);
        if same {
            self.generation = generation;
        }
        same
    }

    async fn finish(mut self, end: End) {
        let entry = &self.registration.entry;
        let cause = std::error::Error::source(&end).map(ToString::to_string);
        tracing::info!(
            user = %entry.user,
            database = %entry.database,
            cause,
            "replication client ended: {end}",
        );
        if matches!(end, End::ShuttingDown | End::NotServed | End::ServerFrame(_))
            && let Some(response) = end.for_client()
        {
            let (direction, client) = (&mut self.from_server, &mut self.client);
            let flush = poll_fn(|cx| poll_flush(direction, cx, client));
            if let Ok(Ok(())) = tokio::time::timeout(LAST_WRITE, flush).await {
                say(&mut self.client, &response).await;
            }
            let sane = !matches!(end, End::ServerFrame(_));
            if sane && self.from_client.is_between_messages() && self.from_client.outbox.is_empty()
            {
                // Else the server would log a client that vanished.
                let goodbye = self.server.socket.write_all(&TERMINATE);
                let _ = tokio::time::timeout(LAST_WRITE, goodbye).await;
            }
        }
        // A sender notices by itself that nobody listens any more; a query does not.
        let runs = matches!(self.activity, Activity::Answering(1..));
        if runs && matches!(end, End::ClientGone | End::ClientIo(_)) {
            let target = Arc::clone(&self.server.entry.server.target);
            drop(self.server);
            if let Err(error) = send_cancel(&target).await {
                tracing::debug!("cannot cancel the query of a client that has gone: {error}");
            }
        }
    }
}

/// Writes what is due, and what an encrypting socket still holds of it.
fn poll_flush(
    direction: &mut Direction,
    cx: &mut Context<'_>,
    socket: &mut Socket,
) -> Poll<io::Result<()>> {
    ready!(direction.outbox.poll_flush(cx, socket, &direction.buffer))?;
    Pin::new(socket).poll_flush(cx)
}

/// Reads once; without bytes no buffer is held.
fn poll_fill(
    direction: &mut Direction,
    cx: &mut Context<'_>,
    socket: &mut Socket,
    buffers: &BufferPool,
) -> Poll<io::Result<usize>> {
    let read = direction.buffer.poll_fill(cx, socket, buffers);
    if read.is_pending() {
        direction.park(buffers);
    }
    read
}

fn count(counter: &AtomicU64, bytes: usize) {
    counter.fetch_add(bytes as u64, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::Activity;

    /// Tags of the client's messages, and of the server's after a `<`, with their first byte.
    #[track_caller]
    fn check(messages: &[&[u8]], expected: Activity) {
        let end = messages.iter().fold(Activity::Answering(0), |activity, message| match message {
            [b'<', tag, status @ ..] => activity.after_reply(*tag, status.first().copied()),
            [tag, ..] => activity.after_request(*tag),
            [] => activity,
        });
        assert_eq!(end, expected);
    }

    #[test]
    fn a_query_is_answered_by_its_ready_for_query() {
        check(&[b"Q"], Activity::Answering(1));
        check(&[b"Q", b"Q", b"<T", b"<D", b"<ZI"], Activity::Answering(1));
        check(&[b"Q", b"<H", b"<d", b"<c", b"<C", b"<ZI"], Activity::Answering(0));
        check(&[b"P", b"S", b"<E", b"<ZI"], Activity::Answering(0));
        check(&[b"Q", b"<C", b"<ZT"], Activity::InTransaction);
        check(&[b"Q", b"<ZT", b"Q", b"<E", b"<ZE"], Activity::InTransaction);
        check(&[b"Q", b"<ZT", b"Q", b"Q", b"<ZI"], Activity::Answering(1));
    }

    #[test]
    fn a_stream_lasts_until_it_is_answered() {
        check(&[b"Q", b"<W", b"<d", b"d", b"<d"], Activity::Streaming);
        check(&[b"Q", b"<W", b"c", b"<c", b"<C", b"<C"], Activity::Streaming);
        check(&[b"Q", b"<W", b"c", b"<c", b"<C", b"<ZI"], Activity::Answering(0));
        check(&[b"Q", b"<E", b"<ZI"], Activity::Answering(0));
    }

    #[test]
    fn a_sync_inside_a_copy_is_not_answered() {
        check(&[b"Q", b"<G", b"d", b"S", b"c", b"<C", b"<ZI"], Activity::Answering(0));
        check(&[b"Q", b"<G", b"d", b"<E", b"d", b"c", b"<ZI"], Activity::Answering(0));
    }
}
