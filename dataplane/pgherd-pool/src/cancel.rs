//! Asking a server to cancel what a connection runs.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pgherd_config::{ServerTls, ServerTlsMode, TcpSettings};
use pgherd_tls::Connector;
use pgherd_wire::startup;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::Socket;
use crate::encryption::Encryption;
use crate::tcp::tune;

/// How long a cancel may take before it is given up.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where a cancel for a server connection goes, and the key that it needs.
#[derive(Clone, Debug)]
pub struct CancelTarget {
    /// The address to which the connection was made.
    pub address: ServerAddress,
    /// What is set on the socket.
    pub tcp: TcpSettings,
    /// How it is encrypted; a cancel is encrypted in the same way.
    pub encryption: Encryption,
    /// Process id of the backend.
    pub pid: i32,
    /// Its key.
    pub key: Box<[u8]>,
}

/// An address after name resolution.
#[derive(Clone, Debug)]
pub enum ServerAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// Path of a Unix socket.
    Unix(PathBuf),
}

impl ServerAddress {
    /// Opens a socket to this address.
    pub(crate) async fn dial(&self, settings: &TcpSettings) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                tune(&stream, settings)?;
                Socket::Tcp(stream)
            }
            Self::Unix(path) => Socket::Unix(UnixStream::connect(path).await?),
        })
    }
}

/// Sends a cancel and waits until the server has closed the connection, which it does after the
/// signal is on its way: only then may the target serve somebody else.
///
/// Not cancel safe: a cancel that is given up half way may still arrive.
pub async fn send_cancel(target: &CancelTarget) -> io::Result<()> {
    in_time(async {
        let socket = target.address.dial(&target.tcp).await?;
        deliver(socket, &target.encryption, target.pid, &target.key).await
    })
    .await
}

/// Passes a cancel on to another proxy, which closes once it has dealt with it. With `encrypt`
/// nobody on the way sees the key, if the peer has TLS.
///
/// Not cancel safe: a cancel that is given up half way may still arrive.
pub async fn forward_cancel(peer: &str, pid: i32, key: &[u8], encrypt: bool) -> io::Result<()> {
    // Nothing is verified: peers are known by address, and by what they do with the key.
    let settings = ServerTls { mode: ServerTlsMode::Prefer, ..ServerTls::default() };
    let encryption = match encrypt.then(|| Connector::load(&settings)).transpose() {
        Ok(connector) => Encryption::demanded(peer, connector.flatten().map(Arc::new).as_ref()),
        Err(error) => return Err(io::Error::other(error)),
    };
    in_time(async {
        let socket = Socket::Tcp(TcpStream::connect(peer).await?);
        deliver(socket, &encryption, pid, key).await
    })
    .await
}

async fn deliver(
    mut socket: Socket,
    encryption: &Encryption,
    pid: i32,
    key: &[u8],
) -> io::Result<()> {
    // The key must not be seen where the connection itself is encrypted.
    encryption.negotiate(&mut socket).await.map_err(io::Error::other)?;
    let mut packet = Vec::with_capacity(16 + key.len());
    startup::put_cancel(&mut packet, pid, key);
    socket.write_all(&packet).await?;
    let mut rest = [0; 64];
    while socket.read(&mut rest).await? > 0 {}
    Ok(())
}

async fn in_time(sending: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    match tokio::time::timeout(TIMEOUT, sending).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
