//! Asking a server to cancel what a connection runs.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use pgherd_wire::startup;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::Socket;

/// How long a cancel may take before it is given up.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where a cancel for a server connection goes, and the key that it needs.
#[derive(Clone, Debug)]
pub struct CancelTarget {
    /// The address to which the connection was made.
    pub address: ServerAddress,
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
    pub(crate) async fn dial(&self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(address) => Socket::Tcp(TcpStream::connect(address).await?),
            Self::Unix(path) => Socket::Unix(UnixStream::connect(path).await?),
        })
    }
}

/// Sends a cancel and waits until the server has closed the connection, which it does after the
/// signal is on its way: only then may the target serve somebody else.
///
/// Not cancel safe: a cancel that is given up half way may still arrive.
pub async fn send_cancel(target: &CancelTarget) -> io::Result<()> {
    let send = async {
        let mut socket = target.address.dial().await?;
        let mut packet = Vec::with_capacity(16 + target.key.len());
        startup::put_cancel(&mut packet, target.pid, &target.key);
        socket.write_all(&packet).await?;
        let mut rest = [0; 64];
        while socket.read(&mut rest).await? > 0 {}
        Ok(())
    };
    match tokio::time::timeout(TIMEOUT, send).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
