//! A stream socket to a client or a server: TCP or a Unix socket, with TLS over it or without.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use pgherd_tls::{TlsInfo, TlsStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// One connected socket, registered with the runtime of one worker.
#[derive(Debug, Default)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix domain socket.
    Unix(UnixStream),
    /// TLS over one of them. Boxed, so that the others stay small.
    Tls(Box<TlsStream<Self>>),
    /// None any more: what is left where one was taken away.
    #[default]
    Closed,
}

impl Socket {
    /// Registers the socket with the runtime that calls, taking it away from its former one.
    ///
    /// No byte is lost: the kernel keeps what has arrived, and TLS what it has read.
    pub fn rehome(self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(TcpStream::from_std(stream.into_std()?)?),
            Self::Unix(stream) => Self::Unix(UnixStream::from_std(stream.into_std()?)?),
            Self::Tls(mut stream) => {
                stream.change_io(Self::rehome)?;
                Self::Tls(stream)
            }
            Self::Closed => Self::Closed,
        })
    }

    /// Whether a read would find something, be it the end. When not, the waker is registered.
    ///
    /// With TLS readiness of the socket below does not say enough: bytes may have been read from
    /// it before.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
            Self::Tls(stream) if stream.has_received() => Poll::Ready(Ok(())),
            Self::Tls(stream) => stream.get_ref().poll_read_ready(cx),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }

    /// Makes the close of this socket a reset, so that the peer learns of it at once.
    pub fn reset_on_close(&self) {
        match self {
            Self::Tcp(stream) => {
                // Fails only on a socket that is gone already.
                let _ = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
            }
            Self::Tls(stream) => stream.get_ref().reset_on_close(),
            Self::Unix(_) | Self::Closed => {}
        }
    }

    /// Another file descriptor for the same socket.
    pub(crate) fn second_handle(&self) -> Option<OwnedFd> {
        match self {
            Self::Tcp(stream) => stream.as_fd().try_clone_to_owned().ok(),
            Self::Unix(stream) => stream.as_fd().try_clone_to_owned().ok(),
            Self::Tls(stream) => stream.get_ref().second_handle(),
            Self::Closed => None,
        }
    }

    /// Whether it is a Unix socket, which needs no encryption.
    pub fn is_unix(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tls(stream) => stream.get_ref().is_unix(),
            Self::Tcp(_) | Self::Closed => false,
        }
    }

    /// The TLS over it.
    pub fn tls(&self) -> Option<&TlsStream<Self>> {
        match self {
            Self::Tls(stream) => Some(stream),
            Self::Tcp(_) | Self::Unix(_) | Self::Closed => None,
        }
    }

    /// What was negotiated, if it is encrypted.
    pub fn tls_info(&self) -> Option<TlsInfo> {
        self.tls().and_then(TlsStream::info)
    }

    /// Puts TLS over it and goes through the handshake.
    ///
    /// Not cancel safe: what is left can neither be read nor written.
    pub async fn start_tls(
        &mut self,
        wrap: impl FnOnce(Self) -> io::Result<TlsStream<Self>>,
    ) -> io::Result<()> {
        // In its place at once: whatever happens, nothing more is said without encryption.
        let mut stream = Box::new(wrap(std::mem::take(self))?);
        let result = stream.handshake().await;
        *self = Self::Tls(stream);
        result
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
            Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, slices),
            Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            Self::Tcp(_) | Self::Unix(_) | Self::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}
