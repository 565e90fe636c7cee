//! A TLS connection over a byte stream, without memory of its own while nothing is under way.
//!
//! rustls's unbuffered interface leaves the buffers to us: they are taken when bytes come or go,
//! and given back when none are left. An idle connection is the keys and little else.
//!
//! **Writing** has the rule of OpenSSL's `SSL_write`: when a write has returned `Pending`, the next
//! write must begin with the same bytes. Only then a write is reported that has reached the
//! stream below in full, so that nobody needs to flush.

mod session;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::{CipherSuite, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::spare;
use session::{Session, Step, Wish};

/// The longest handshake message is 64 KiB: whoever needs more is no peer of ours.
const MAX_INCOMING: usize = 128 * 1024;

/// Plain bytes of one record, and so of one write.
const MAX_RECORD: usize = 16 * 1024;

/// A TLS connection over `S`. Made by an [`crate::Acceptor`] or a [`crate::Connector`]; the
/// handshake must come first.
pub struct TlsStream<S: AsyncRead + AsyncWrite + Unpin> {
    io: S,
    session: Session,
    /// Read from `io` and not decrypted yet: `incoming[..filled]`.
    incoming: Vec<u8>,
    filled: usize,
    /// Decrypted and not fetched yet: `plain[fetched..]`.
    plain: Vec<u8>,
    fetched: usize,
    /// Encrypted and not written to `io` yet: `outgoing[written..]`.
    outgoing: Vec<u8>,
    written: usize,
    /// Bytes of the caller that `outgoing` holds and that have not been reported as written.
    unreported: usize,
    end: End,
}

/// Whether more can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// The peer has closed its direction.
    Received,
    /// So have we, or the connection has failed.
    Both,
}

/// What was negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    version: ProtocolVersion,
    suite: CipherSuite,
}

impl std::fmt::Display for TlsInfo {
    /// As in `TLSv1.3/TLS_AES_256_GCM_SHA384`: the names that OpenSSL and pg_stat_ssl use.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let version = match self.version {
            ProtocolVersion::TLSv1_2 => "TLSv1.2",
            ProtocolVersion::TLSv1_3 => "TLSv1.3",
            _ => "TLS",
        };
        let suite = self.suite.as_str().unwrap_or("unknown");
        write!(f, "{version}/{}", suite.replacen("TLS13_", "TLS_", 1))
    }
}

// === impl TlsStream ===

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// The server's end. `received` has been read from `io` before and belongs to the handshake.
    pub(crate) fn server(io: S, session: UnbufferedServerConnection, received: &[u8]) -> Self {
        let mut stream = Self::new(io, Session::Server(session));
        if !received.is_empty() {
            stream.incoming = spare::take();
            stream.incoming.resize(spare::SIZE.max(received.len()), 0);
            stream.incoming[..received.len()].copy_from_slice(received);
            stream.filled = received.len();
        }
        stream
    }

    /// The client's end.
    pub(crate) fn client(io: S, session: UnbufferedClientConnection) -> Self {
        Self::new(io, Session::Client(session))
    }

    fn new(io: S, session: Session) -> Self {
        Self {
            io,
            session,
            incoming: Vec::new(),
            filled: 0,
            plain: Vec::new(),
            fetched: 0,
            outgoing: Vec::new(),
            written: 0,
            unreported: 0,
            end: End::Open,
        }
    }

    /// The stream below.
    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// Replaces the stream below by what `change` makes of it. What has been read, decrypted or
    /// encrypted stays. After an error the connection is of no more use.
    pub fn change_io<E>(&mut self, change: impl FnOnce(S) -> Result<S, E>) -> Result<(), E>
    where
        S: Default,
    {
        self.io = change(std::mem::take(&mut self.io))?;
        Ok(())
    }

    /// Whether a read would find something without the stream below having anything new.
    pub fn has_received(&self) -> bool {
        self.fetched < self.plain.len() || self.end != End::Open || self.has_whole_record()
    }

    fn has_whole_record(&self) -> bool {
        let received = &self.incoming[..self.filled];
        let Some(&[_, _, _, high, low]) = received.first_chunk() else { return false };
        received.len() >= 5 + usize::from(u16::from_be_bytes([high, low]))
    }

    /// The peer's own certificate.
    pub fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.session.peer_certificates()?.first()
    }

    /// What was agreed upon in ALPN.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.session.alpn_protocol()
    }

    /// What was negotiated; `None` before the handshake.
    pub fn info(&self) -> Option<TlsInfo> {
        let version = self.session.protocol_version()?;
        let suite = self.session.negotiated_cipher_suite()?.suite();
        Some(TlsInfo { version, suite })
    }

    /// Goes through the handshake.
    ///
    /// Cancel safe: another call goes on. An error that rustls has found is in the [`io::Error`],
    /// with the alert sent to the peer as far as the stream takes it at once.
    pub async fn handshake(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_handshake(cx)).await
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let step = self.step(Wish::Read(&mut ReadBuf::new(&mut [])));
            let sent = self.poll_send(cx);
            if step? == Step::Closed {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            if let Poll::Ready(Err(error)) = sent {
                return Poll::Ready(Err(error));
            }
            if !self.session.is_handshaking() {
                ready!(sent)?;
                self.give_back();
                return Poll::Ready(Ok(()));
            }
            // Also while the peer takes nothing: it may wait for its own words to be taken.
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Goes on with the session until the wish is granted or more must be read.
    fn step(&mut self, mut wish: Wish<'_, '_>) -> io::Result<Step> {
        loop {
            let incoming = &mut self.incoming[..self.filled];
            let turn = self.session.turn(incoming, &mut wish, &mut self.plain, &mut self.outgoing);
            let discard = turn.discard.min(self.filled);
            self.incoming.copy_within(discard..self.filled, 0);
            self.filled -= discard;
            match turn.result {
                Ok(Step::Again) => {}
                Ok(Step::Closed) => {
                    self.end = End::Received;
                    // It can still be written to.
                    if matches!(wish, Wish::Read(_)) {
                        return Ok(Step::Closed);
                    }
                }
                Ok(step) => return Ok(step),
                Err(error) => {
                    self.end = End::Both;
                    let incoming = &mut self.incoming[..self.filled];
                    self.session.take_alert(incoming, &mut self.outgoing);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
        }
    }

    /// Reads once from the stream below.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.incoming.is_empty() {
            self.incoming = spare::take();
        } else if self.filled == self.incoming.len() {
            if self.filled >= MAX_INCOMING {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            self.incoming.resize(self.filled * 2, 0);
        }
        let mut target = ReadBuf::new(&mut self.incoming[self.filled..]);
        let read =
            Pin::new(&mut self.io).poll_read(cx, &mut target).map_ok(|()| target.filled().len());
        match read {
            Poll::Ready(Ok(read)) => self.filled += read,
            Poll::Ready(Err(_)) | Poll::Pending => self.give_back(),
        }
        read
    }

    /// Writes what is encrypted to the stream below.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.outgoing.len() {
            let left = &self.outgoing[self.written..];
            match ready!(Pin::new(&mut self.io).poll_write(cx, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.written += n,
            }
        }
        self.outgoing.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Lets go of memory that holds nothing.
    fn give_back(&mut self) {
        if self.filled == 0 && !self.incoming.is_empty() {
            spare::put(std::mem::take(&mut self.incoming));
        }
        if self.fetched == self.plain.len() && self.plain.capacity() > 0 {
            self.plain = Vec::new();
            self.fetched = 0;
        }
        if self.written == self.outgoing.len() && self.outgoing.capacity() > 0 {
            self.outgoing = Vec::new();
            self.written = 0;
        }
    }

    /// Hands out bytes that were decrypted before. `false` when there are none.
    fn fetch(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let left = &self.plain[self.fetched..];
        let n = left.len().min(buf.remaining());
        buf.put_slice(&left[..n]);
        self.fetched += n;
        if self.fetched == self.plain.len() {
            self.plain.clear();
            self.fetched = 0;
        }
        n > 0
    }

    /// Says goodbye to the peer, once.
    fn close(&mut self) {
        if self.end != End::Both && !self.session.is_handshaking() {
            let _ = self.step(Wish::Close);
        }
        self.end = End::Both;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.session.is_handshaking() {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        let before = buf.filled().len();
        loop {
            if buf.remaining() == 0 || this.fetch(buf) {
                return Poll::Ready(Ok(()));
            }
            if this.end != End::Open {
                this.give_back();
                return Poll::Ready(Ok(()));
            }
            if this.filled > 0 {
                let step = this.step(Wish::Read(buf));
                // Alerts and the like; what does not go now goes with the next write. A write that
                // is under way is left to its writer, which would not learn that it is done.
                let sent = match this.unreported {
                    0 => this.poll_send(cx),
                    _ => Poll::Pending,
                };
                if buf.filled().len() > before {
                    this.give_back();
                    return Poll::Ready(Ok(()));
                }
                match (step?, sent) {
                    (_, Poll::Ready(Err(error))) => return Poll::Ready(Err(error)),
                    (Step::More, _) => {}
                    // The end, or a record without content.
                    _ => continue,
                }
            }
            // An end without goodbye is an end: Postgres's own messages say what is missing.
            if ready!(this.poll_receive(cx))? == 0 {
                this.end = End::Received;
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    fn poll_encrypt(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.end == End::Both || self.session.is_handshaking() {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        if self.unreported == 0 {
            if bytes.is_empty() {
                return Poll::Ready(Ok(0));
            }
            let record = &bytes[..bytes.len().min(MAX_RECORD)];
            self.step(Wish::Write(record))?;
            self.unreported = record.len();
        }
        ready!(self.poll_send(cx))?;
        self.give_back();
        Poll::Ready(Ok(std::mem::take(&mut self.unreported)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.unreported > bytes.len() {
            // The rule of this type is broken; to go on would send bytes twice or not at all.
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        this.poll_encrypt(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.unreported > 0 {
            return this.poll_encrypt(cx, &[]);
        }
        // One record for all: each has some bytes around it, and a system call of its own.
        let mut record = spare::take();
        let mut len = 0;
        for slice in slices {
            let n = slice.len().min(MAX_RECORD - len);
            record[len..len + n].copy_from_slice(&slice[..n]);
            len += n;
        }
        let written = this.poll_encrypt(cx, &record[..len]);
        spare::put(record);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.close();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Drop for TlsStream<S> {
    /// Says goodbye as far as the stream takes it at once, so that the peer can tell an orderly end
    /// from a cut.
    fn drop(&mut self) {
        if self.outgoing.is_empty() {
            self.close();
            let _ = self.poll_send(&mut Context::from_waker(Waker::noop()));
        }
        if !self.incoming.is_empty() {
            spare::put(std::mem::take(&mut self.incoming));
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> std::fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsStream").field("end", &self.end).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
