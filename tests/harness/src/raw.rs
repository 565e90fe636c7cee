//! A blocking protocol client that shows every byte: what drivers hide is what tests compare.
//!
//! Independent of pgherd's own codec on purpose, so that both cannot be wrong in the same way.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustls::{ClientConfig, ClientConnection};

pub mod frontend;
mod login;
mod message;
mod stream;

pub use login::Login;
pub use message::Message;
use stream::Stream;

/// How long an answer may take before a test gives up.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    /// Received and not yet taken.
    received: Vec<u8>,
    deadline: Duration,
    /// What the server said between the login and the first ReadyForQuery.
    welcome: Vec<Message>,
}

impl Client {
    /// Connects and sends nothing.
    pub fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, DEADLINE)
            .with_context(|| format!("cannot connect to {addr}"))?;
        stream.set_nodelay(true)?;
        Ok(Self::over(Stream::Tcp(stream)))
    }

    /// Connects to a Unix socket and sends nothing.
    pub fn connect_unix(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path)
            .with_context(|| format!("cannot connect to {}", path.display()))?;
        Ok(Self::over(Stream::Unix(stream)))
    }

    fn over(stream: Stream) -> Self {
        Self { stream, received: Vec::new(), deadline: DEADLINE, welcome: Vec::new() }
    }

    /// Asks for TLS and goes through the handshake.
    pub fn connect_tls(addr: SocketAddr, config: &Arc<ClientConfig>) -> Result<Self> {
        let mut client = Self::connect(addr)?;
        client.send(&frontend::ssl_request())?;
        let answer = client.byte()?;
        ensure!(answer == Some(b'S'), "the answer to SSLRequest: {answer:?}");
        client.start_tls(config)
    }

    /// Goes through the handshake at once.
    pub fn start_tls(self, config: &Arc<ClientConfig>) -> Result<Self> {
        ensure!(self.received.is_empty(), "bytes before the handshake: {:?}", self.received);
        let stream = self.stream.start_tls(Arc::clone(config))?;
        Ok(Self { stream, ..self })
    }

    /// Logs in over TLS.
    pub fn login_tls(addr: SocketAddr, login: &Login, config: &Arc<ClientConfig>) -> Result<Self> {
        let mut client = Self::connect_tls(addr, config)?;
        client.welcome = login::run(&mut client, login)?;
        Ok(client)
    }

    /// Logs in on a connection on which nothing was said so far.
    pub fn finish_login(mut self, login: &Login) -> Result<Self> {
        self.welcome = login::run(&mut self, login)?;
        Ok(self)
    }

    /// The TLS records that carry these bytes, for [`Self::send_below`].
    pub fn encrypt(&mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        self.stream.encrypt(bytes)
    }

    /// Sends bytes as they are, below TLS.
    pub fn send_below(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.send_below(bytes)?)
    }

    /// The TLS session.
    pub fn tls(&self) -> Option<&ClientConnection> {
        self.stream.tls()
    }

    /// Logs in as the application's user into the application's database.
    pub fn login(addr: SocketAddr) -> Result<Self> {
        Self::login_as(addr, &Login::default())
    }

    /// Logs in, up to the first ReadyForQuery.
    pub fn login_as(addr: SocketAddr, login: &Login) -> Result<Self> {
        let mut client = Self::connect(addr)?;
        client.welcome = login::run(&mut client, login)?;
        Ok(client)
    }

    /// Every message of the login, from the first answer to ReadyForQuery.
    pub fn welcome(&self) -> &[Message] {
        &self.welcome
    }

    /// The value that a parameter had after the login.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.welcome.iter().rev().find_map(|message| {
            let (key, value) = message.parameter_status()?;
            (key == name).then_some(value)
        })
    }

    /// A CancelRequest for this connection.
    pub fn cancel_request(&self) -> Result<Vec<u8>> {
        let key = self.welcome.iter().find(|message| message.tag == b'K');
        let key = key.context("the server sent no BackendKeyData")?;
        Ok(frontend::cancel_request(&key.body))
    }

    /// Sends that CancelRequest to `addr` and waits until the server closes.
    pub fn cancel(&self, addr: SocketAddr) -> Result<()> {
        let mut other = Self::connect(addr)?;
        other.send(&self.cancel_request()?)?;
        let answer = other.rest()?;
        ensure!(answer.is_empty(), "an answer to a CancelRequest: {answer:?}");
        Ok(())
    }

    /// Our own address, to find this client in the other side's lists.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// The socket alone, for answers that are too large to keep.
    pub fn into_stream(self) -> Result<TcpStream> {
        self.stream.into_tcp()
    }

    /// The other side's address.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        self.stream.peer_addr()
    }

    /// Changes how long answers may take.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// Sends bytes in one write.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("cannot send")
    }

    /// Sends what fits now and says how much that was: for tests of back-pressure.
    pub fn send_some(&mut self, bytes: &[u8]) -> Result<usize> {
        self.stream.set_nonblocking(true)?;
        let result = self.stream.write(bytes);
        self.stream.set_nonblocking(false)?;
        match result {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(0),
            result => Ok(result?),
        }
    }

    /// Says that no more will be sent.
    pub fn finish_sending(&mut self) -> Result<()> {
        Ok(self.stream.finish_sending()?)
    }

    /// The next message, or nothing when the server has closed the connection.
    pub fn receive(&mut self) -> Result<Option<Message>> {
        let until = Instant::now() + self.deadline;
        loop {
            if let Some(message) = Message::take(&mut self.received)? {
                return Ok(Some(message));
            }
            if !self.fill(until)? {
                ensure!(
                    self.received.is_empty(),
                    "closed in the middle of a message: {:?}",
                    self.received
                );
                return Ok(None);
            }
        }
    }

    /// The next message; the end of the connection is an error.
    pub fn expect_message(&mut self) -> Result<Message> {
        self.receive()?.context("the server closed the connection")
    }

    /// One byte that is no message: the answer to SSLRequest and GSSENCRequest.
    pub fn byte(&mut self) -> Result<Option<u8>> {
        let until = Instant::now() + self.deadline;
        while self.received.is_empty() {
            if !self.fill(until)? {
                return Ok(None);
            }
        }
        Ok(Some(self.received.remove(0)))
    }

    /// Undoes [`Self::byte`], when the byte turned out to begin a message.
    pub fn put_back(&mut self, byte: u8) {
        self.received.insert(0, byte);
    }

    /// Every message up to `count` ReadyForQuery, or up to the end of the connection.
    pub fn until_ready(&mut self, count: usize) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        let mut ready = 0;
        while ready < count {
            let Some(message) = self.receive().with_context(|| {
                format!("ReadyForQuery {ready} of {count} seen; so far {messages:#?}")
            })?
            else {
                break;
            };
            ready += usize::from(message.tag == b'Z');
            messages.push(message);
        }
        Ok(messages)
    }

    /// Every message up to one with this tag.
    pub fn until_tag(&mut self, tag: u8) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        loop {
            let message = self.receive().with_context(|| {
                format!("waiting for '{}'; so far {messages:#?}", tag.escape_ascii())
            })?;
            let message = message.with_context(|| {
                format!("closed before '{}'; so far {messages:#?}", tag.escape_ascii())
            })?;
            let found = message.tag == tag;
            messages.push(message);
            if found {
                return Ok(messages);
            }
        }
    }

    /// All that comes until the server closes the connection.
    pub fn rest(&mut self) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        while let Some(message) = self.receive()? {
            messages.push(message);
        }
        Ok(messages)
    }

    /// What arrives within `wait`; nothing more need come.
    pub fn drain(&mut self, wait: Duration) -> Result<Vec<Message>> {
        let until = Instant::now() + wait;
        let mut messages = Vec::new();
        loop {
            while let Some(message) = Message::take(&mut self.received)? {
                messages.push(message);
            }
            match self.fill(until) {
                Ok(true) => {}
                Ok(false) => return Ok(messages),
                Err(_) if Instant::now() >= until => return Ok(messages),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next message, if it comes within `wait`. The end of the connection is an error.
    pub fn message_within(&mut self, wait: Duration) -> Result<Option<Message>> {
        let until = Instant::now() + wait;
        loop {
            if let Some(message) = Message::take(&mut self.received)? {
                return Ok(Some(message));
            }
            match self.fill(until) {
                Ok(true) => {}
                Ok(false) => bail!("the server closed the connection"),
                Err(_) if Instant::now() >= until => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs a simple query and gives every message of the answer.
    pub fn simple(&mut self, sql: &str) -> Result<Vec<Message>> {
        self.send(&frontend::query(sql))?;
        let messages = self.until_ready(1)?;
        ensure!(
            messages.last().is_some_and(|message| message.tag == b'Z'),
            "closed while answering {sql}: {messages:#?}"
        );
        Ok(messages)
    }

    /// Runs a simple query and gives its rows as text (`NULL` for null).
    pub fn rows(&mut self, sql: &str) -> Result<Vec<Vec<String>>> {
        let messages = self.simple(sql)?;
        if let Some(error) = messages.iter().find(|message| message.tag == b'E') {
            bail!("{sql}: {error:?}");
        }
        let rows = messages.iter().filter_map(Message::data_row);
        Ok(rows.map(|row| row.into_iter().map(text).collect()).collect())
    }

    /// Runs a simple query and gives its rows by column name, as the admin database's are read.
    pub fn table(&mut self, sql: &str) -> Result<Vec<BTreeMap<String, String>>> {
        let messages = self.simple(sql)?;
        if let Some(error) = messages.iter().find(|message| message.tag == b'E') {
            bail!("{sql}: {error:?}");
        }
        let columns = messages.iter().find_map(Message::columns);
        let columns = columns.with_context(|| format!("{sql}: no columns"))?;
        let rows = messages.iter().filter_map(Message::data_row);
        Ok(rows
            .map(|row| {
                let values = row.into_iter().map(text);
                columns.iter().cloned().zip(values).collect()
            })
            .collect())
    }

    /// The single value of a query.
    pub fn value(&mut self, sql: &str) -> Result<String> {
        let rows = self.rows(sql)?;
        match rows.as_slice() {
            [row] if row.len() == 1 => Ok(row.concat()),
            rows => Err(anyhow!("{sql}: one value expected, got {rows:?}")),
        }
    }

    /// Says goodbye and waits for the end.
    pub fn terminate(mut self) -> Result<()> {
        self.send(&frontend::terminate())?;
        self.rest().map(drop)
    }

    /// Ends with a reset instead of an orderly close.
    pub fn reset(self) -> Result<()> {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))?;
        Ok(())
    }

    /// Reads once; false at the end of the stream.
    fn fill(&mut self, until: Instant) -> Result<bool> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("no answer within {:?}", self.deadline);
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.received.extend_from_slice(&chunk[..count]);
                Ok(true)
            }
            Err(error) => match error.kind() {
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
                    bail!("no answer within {:?}", self.deadline)
                }
                // The server closed with our bytes unread; what it said before was read already.
                std::io::ErrorKind::ConnectionReset => Ok(false),
                // TLS that ends without goodbye.
                std::io::ErrorKind::UnexpectedEof => Ok(false),
                std::io::ErrorKind::Interrupted => Ok(true),
                _ => Err(error).context("cannot receive"),
            },
        }
    }
}

/// A value as psql shows it, except that null is `NULL`.
fn text(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}
