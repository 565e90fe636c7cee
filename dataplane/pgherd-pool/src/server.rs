//! One logged-in server connection, and running the proxy's own statements on it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use pgherd_wire::backend::{self, tag};
use pgherd_wire::error_response::ServerError as Report;
use pgherd_wire::frame::Header;
use pgherd_wire::owed::{Audience, Request, UnexpectedReply};
use pgherd_wire::params::{ISOLATION, is_settable};
use pgherd_wire::{FrameError, Owed, ParamSet, TransactionStatus, frontend};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

use crate::cancel::CancelTarget;
use crate::connect::{ConnectError, Connected};
use crate::entry::{Registered, ServerEntry};
use crate::limits::Permit;
use crate::socket::Socket;
use crate::statements::{Note, ServerStatements};

/// What a server said of itself at login.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// How to cancel what the connection runs.
    pub cancel: Arc<CancelTarget>,
    /// `server_version`.
    pub version: String,
}

/// A server connection. It is used by one client at a time, through a [`crate::Lease`].
#[derive(Debug)]
pub struct ServerConn {
    /// The socket, registered with the worker `home`.
    pub socket: Socket,
    /// What the server owes.
    pub owed: Owed<Note>,
    /// The session parameters that it has now, as far as `SET` can change them.
    pub params: Arc<ParamSet>,
    /// The prepared statements that it has.
    pub statements: ServerStatements,
    /// Generation of the unnamed statement that it has, 0 for none.
    pub unnamed: u64,
    /// What it said of itself.
    pub info: ServerInfo,
    /// What the pool's register shows of it.
    pub(crate) entry: Registered,
    /// The worker with whose runtime the socket is registered.
    pub(crate) home: usize,
    /// When it was made.
    pub connected_at: Instant,
    /// When it is too old to go back to its pool.
    pub(crate) expires_at: Option<Instant>,
    /// When it was last given back.
    pub(crate) idle_since: Instant,
    /// It has state that only a reset removes: it must not serve another client before.
    pub tainted: bool,
    /// Its place in the limits that several pools share.
    _permit: Permit,
}

/// Why a statement of the proxy failed on a server connection.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The connection broke.
    #[error("server connection broke")]
    Io(#[source] io::Error),
    /// The server closed the connection.
    #[error("server closed the connection")]
    Closed,
    /// The server sent an error.
    #[error("server reported: {} (SQLSTATE {})", .0.message, .0.code)]
    Reported(Report),
    /// A message of an impossible length.
    #[error("server broke the protocol")]
    Frame(#[source] FrameError),
    /// A reply that fits nothing that was asked.
    #[error("server broke the protocol")]
    Unexpected(#[source] UnexpectedReply),
    /// The statement has begun a transaction and not ended it.
    #[error("the statement leaves a transaction open")]
    LeftTransaction,
    /// A message whose body makes no sense.
    #[error("server sent a malformed message {0:#04x}")]
    Malformed(u8),
}

impl ServerConn {
    pub(crate) fn new(
        connected: Connected,
        home: usize,
        expires_at: Option<Instant>,
        permit: Permit,
    ) -> Self {
        let now = Instant::now();
        let target = Arc::clone(&connected.info.cancel);
        let entry = Registered(Arc::new(ServerEntry::new(target, &connected.socket)));
        Self {
            socket: connected.socket,
            owed: Owed::default(),
            params: Arc::new(connected.params.settable()),
            statements: ServerStatements::default(),
            unnamed: 0,
            info: connected.info,
            entry,
            home,
            connected_at: now,
            expires_at,
            idle_since: now,
            tainted: false,
            _permit: permit,
        }
    }

    /// Whether it can serve another client as it is.
    pub(crate) fn is_clean(&self) -> bool {
        self.owed.is_free() && !self.owed.is_in_doubt() && !self.tainted
    }

    /// Looks at an idle socket without waiting. Anything but silence, ParameterStatus and notices
    /// means that the connection is of no more use.
    pub(crate) fn is_alive(&mut self) -> bool {
        let mut bytes = [0; 512];
        loop {
            let mut buf = ReadBuf::new(&mut bytes);
            let mut cx = Context::from_waker(Waker::noop());
            match Pin::new(&mut self.socket).poll_read(&mut cx, &mut buf) {
                Poll::Pending => return true,
                Poll::Ready(Err(_)) => return false,
                Poll::Ready(Ok(())) if buf.filled().is_empty() => return false,
                Poll::Ready(Ok(())) => {
                    if !self.take_idle_messages(buf.filled()) {
                        return false;
                    }
                }
            }
        }
    }

    /// The same for a socket that has just been registered with this runtime, which does not know
    /// yet whether there is something to read.
    pub(crate) fn is_alive_after_move(&mut self) -> bool {
        let mut bytes = [0; 512];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        // Bytes of TLS cannot be read without taking them: where there are any, it is given up.
        let (socket, legible) = match &self.socket {
            Socket::Tls(stream) if stream.has_received() => return false,
            Socket::Tls(stream) => (stream.get_ref(), false),
            plain => (plain, true),
        };
        let peeked = match socket {
            Socket::Tcp(stream) => rustix::net::recv(stream, &mut bytes, flags),
            Socket::Unix(stream) => rustix::net::recv(stream, &mut bytes, flags),
            Socket::Tls(_) | Socket::Closed => return false,
        };
        match peeked {
            Err(error) => error == Errno::WOULDBLOCK,
            Ok((0, _)) => false,
            // What may stay is read by the next client, as if it had come a moment later.
            Ok((n, _)) => {
                legible && bytes.get(..n).is_some_and(|bytes| self.take_idle_messages(bytes))
            }
        }
    }

    /// A message that is cut by the end of the buffer is not worth keeping the connection for.
    fn take_idle_messages(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let Ok(Some(header)) = Header::peek(bytes) else { return false };
            let Some((message, rest)) = bytes.split_at_checked(header.total_len()) else {
                return false;
            };
            match header.tag {
                tag::PARAMETER_STATUS => {
                    let Some((name, value)) = backend::parse_parameter_status(&message[5..]) else {
                        return false;
                    };
                    note_parameter(&mut self.params, name, value);
                }
                tag::NOTICE => {}
                _ => return false,
            }
            bytes = rest;
        }
        true
    }

    /// Runs a statement of the proxy and reads until the server is ready; rows are dropped.
    /// Parameters that the server reports are noted.
    ///
    /// Not cancel safe: when dropped half way the connection must be closed, as a lease does.
    pub async fn execute(&mut self, sql: &str) -> Result<TransactionStatus, ServerError> {
        self.ask(sql, |_, _| {}).await
    }

    /// Runs what the settings want to be run on each connection.
    ///
    /// Not cancel safe: when dropped half way the connection must be closed.
    pub(crate) async fn run_connect_query(
        &mut self,
        query: Option<&str>,
    ) -> Result<(), ServerError> {
        let Some(query) = query else { return Ok(()) };
        match self.execute(query).await? {
            TransactionStatus::Idle => Ok(()),
            _ => Err(ServerError::LeftTransaction),
        }
    }

    /// The parameters that the session has set and that the server does not report.
    ///
    /// Not cancel safe: when dropped half way the connection must be closed.
    pub(crate) async fn unreported_settings(
        &mut self,
        reported: &ParamSet,
    ) -> Result<ParamSet, ServerError> {
        let mut settings = ParamSet::default();
        let sql = in_any_transaction(
            "SELECT name, setting FROM pg_catalog.pg_settings \
             WHERE source OPERATOR(pg_catalog.=) 'session'",
        );
        self.ask(&sql, |tag, body| {
            if tag == tag::DATA_ROW
                && let Some(values) = backend::parse_data_row(body)
                && let [Some(name), Some(value)] = values[..]
                && let (Ok(name), Ok(value)) =
                    (std::str::from_utf8(name), std::str::from_utf8(value))
                && reported.get(name).is_none()
            {
                settings.set(name, value);
            }
        })
        .await?;
        Ok(settings)
    }

    /// Whether transactions of the user are serializable by default, in a parameter set.
    ///
    /// Not cancel safe: when dropped half way the connection must be closed.
    pub(crate) async fn note_isolation(&mut self, base: &mut ParamSet) -> Result<(), ServerError> {
        let mut found = ParamSet::default();
        let sql = "SHOW default_transaction_isolation";
        self.ask(sql, |tag, body| {
            if tag == tag::DATA_ROW
                && let Some(values) = backend::parse_data_row(body)
                && let [Some(level)] = values[..]
                && let Ok(level) = std::str::from_utf8(level)
            {
                found.set(ISOLATION, level);
            }
        })
        .await?;
        if found.is_serializable() {
            base.set(ISOLATION, "serializable");
        }
        Ok(())
    }

    /// Reads and drops replies until nothing is owed. The first error among them is returned once
    /// the server is ready again.
    ///
    /// Not cancel safe: when dropped half way the connection must be closed.
    pub async fn drain(&mut self) -> Result<TransactionStatus, ServerError> {
        self.drain_after(Vec::new(), 0).await
    }

    /// As [`ServerConn::drain`], where `unread` has come from the socket already, and `skip` more
    /// bytes belong to a message whose beginning was passed on.
    ///
    /// Not cancel safe: when dropped half way the connection must be closed.
    pub async fn drain_after(
        &mut self,
        unread: Vec<u8>,
        skip: usize,
    ) -> Result<TransactionStatus, ServerError> {
        self.drain_with(unread, skip, |_, _| {}).await
    }

    /// Runs a statement of the proxy and reads until the server is ready. `each` is called with
    /// the tag and body of each message.
    ///
    /// Not cancel safe: when dropped half way the connection must be closed, as a lease does.
    pub async fn ask(
        &mut self,
        sql: &str,
        each: impl FnMut(u8, &[u8]),
    ) -> Result<TransactionStatus, ServerError> {
        let mut out = Vec::with_capacity(sql.len() + 6);
        frontend::put_query(&mut out, sql.as_bytes());
        self.socket.write_all(&out).await.map_err(ServerError::Io)?;
        self.owed.push(Request::Query, Audience::Proxy, Note::default());
        // A simple query drops the unnamed statement.
        self.unnamed = 0;
        self.drain_with(Vec::new(), 0, each).await
    }

    /// Ends a copy whose data nobody will send.
    async fn fail_copy(&mut self) -> Result<(), ServerError> {
        // In the extended protocol the server waits for a Sync after the copy has failed; those
        // that were sent before are lost among the data.
        let extended = self.owed.head_request() == Some(Request::Execute);
        let mut out = Vec::new();
        frontend::put_copy_fail(&mut out, b"the client has gone");
        self.owed.push_copy_end();
        if extended {
            frontend::put_empty(&mut out, frontend::tag::SYNC);
            self.owed.push(Request::Sync, Audience::Proxy, Note::default());
        }
        self.socket.write_all(&out).await.map_err(ServerError::Io)
    }

    /// Finds out which Syncs among the data of a copy that has failed are answered.
    async fn probe(&mut self) -> Result<(), ServerError> {
        let nobody = format!("{}0", self.statements.prefix());
        let mut out = Vec::new();
        frontend::put_empty(&mut out, frontend::tag::SYNC);
        let target = frontend::Target::Statement;
        frontend::put_target(&mut out, frontend::tag::CLOSE, target, nobody.as_bytes());
        frontend::put_empty(&mut out, frontend::tag::SYNC);
        self.owed.push_probe([Note::default(), Note::default(), Note::default()]);
        self.socket.write_all(&out).await.map_err(ServerError::Io)
    }

    async fn drain_with(
        &mut self,
        unread: Vec<u8>,
        skip: usize,
        mut each: impl FnMut(u8, &[u8]),
    ) -> Result<TransactionStatus, ServerError> {
        let mut reader = MessageReader { buf: unread, taken: 0, skip };
        let mut failed = None;
        loop {
            if self.owed.needs_probe() {
                self.probe().await?;
            }
            if self.owed.is_empty() && reader.is_empty() {
                break;
            }
            let (tag, body) = reader.next(&mut self.socket).await.map_err(|e| match e {
                ConnectError::Frame(error) => ServerError::Frame(error),
                ConnectError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    ServerError::Closed
                }
                ConnectError::Io(error) => ServerError::Io(error),
                _ => ServerError::Closed,
            })?;
            each(tag, body);
            match tag {
                tag::READY_FOR_QUERY => {
                    let status = body.first().copied().and_then(TransactionStatus::from_byte);
                    let status = status.ok_or(ServerError::Malformed(tag))?;
                    self.owed.ready(status).map_err(ServerError::Unexpected)?;
                }
                tag::ERROR => {
                    self.owed.error();
                    failed.get_or_insert_with(|| Report::parse(body));
                }
                tag::PARAMETER_STATUS => {
                    let (name, value) =
                        backend::parse_parameter_status(body).ok_or(ServerError::Malformed(tag))?;
                    note_parameter(&mut self.params, name, value);
                }
                tag::NOTICE | tag::NOTIFICATION => {}
                tag => {
                    self.owed.reply(tag).map_err(ServerError::Unexpected)?;
                    // The client left before it heard that its data is awaited.
                    if tag == tag::COPY_IN && self.owed.is_copy_in() {
                        self.fail_copy().await?;
                    }
                }
            }
            while self.owed.next_invented().is_some() {}
        }
        match failed {
            None => Ok(self.owed.status()),
            Some(report) => Err(ServerError::Reported(report)),
        }
    }
}

/// A question of the proxy's for the server, whatever its transactions are by default: a hot standby
/// refuses a query that is serializable.
pub fn in_any_transaction(question: &str) -> String {
    format!("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; {question}")
}

/// Notes what the server reported, unless no `SET` could have changed it.
pub fn note_parameter(params: &mut Arc<ParamSet>, name: &str, value: &str) {
    if is_settable(name) && params.get(name) != Some(value) {
        Arc::make_mut(params).set(name, value);
    }
}

/// The longest message that is read whole outside the relay.
const MAX_MESSAGE: usize = 1 << 20;

/// Reads whole messages in dialogues where nobody else reads: logins and the proxy's statements.
#[derive(Debug, Default)]
pub(crate) struct MessageReader {
    buf: Vec<u8>,
    taken: usize,
    /// Bytes that come before the next message and are nobody's any more.
    skip: usize,
}

impl MessageReader {
    /// The next message: tag and body. Cancel safe: what was read stays in the reader.
    pub(crate) async fn next(&mut self, socket: &mut Socket) -> Result<(u8, &[u8]), ConnectError> {
        self.buf.drain(..std::mem::take(&mut self.taken));
        let header = loop {
            if self.skip > 0 {
                let skipped = self.skip.min(self.buf.len());
                self.buf.drain(..skipped);
                self.skip -= skipped;
            }
            if self.skip == 0
                && let Some(header) = Header::peek(&self.buf).map_err(ConnectError::Frame)?
            {
                if header.body_len > MAX_MESSAGE {
                    return Err(ConnectError::Malformed);
                }
                if self.buf.len() >= header.total_len() {
                    break header;
                }
            }
            if socket.read_buf(&mut self.buf).await.map_err(ConnectError::Io)? == 0 {
                return Err(ConnectError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
        };
        self.taken = header.total_len();
        Ok((header.tag, &self.buf[5..self.taken]))
    }

    pub(crate) async fn next_skipping_notices(
        &mut self,
        socket: &mut Socket,
    ) -> Result<(u8, &[u8]), ConnectError> {
        loop {
            let (tag, _) = self.next(socket).await?;
            if tag != tag::NOTICE {
                return Ok((tag, &self.buf[5..self.taken]));
            }
        }
    }

    /// Whether nothing is left behind the message that was returned last.
    pub(crate) fn is_empty(&self) -> bool {
        self.buf.len() == self.taken
    }
}
