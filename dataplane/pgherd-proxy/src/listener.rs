//! Accepting clients and handing each to the least loaded worker.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use pgherd_config::{Listen, Proxy};
use pgherd_session::Shared;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpListener;

use crate::unix_socket::UnixSocket;
use crate::workers::{Accepted, Workers};

/// The number in the name of a Unix socket when there is no TCP address.
const DEFAULT_PORT: u16 = 6432;
/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;
/// The pause after a failed accept, as when the process is out of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Binds every address that a name stands for.
pub fn bind(address: &str) -> anyhow::Result<Vec<TcpListener>> {
    let addresses = address
        .to_socket_addrs()
        .with_context(|| format!("cannot listen on {address:?}: not an address with a port"))?;
    addresses
        .map(|address| {
            bind_one(address).with_context(|| match in_use(address) {
                true => format!("cannot listen on {address}: the port is in use"),
                false => format!("cannot listen on {address}"),
            })
        })
        .collect()
}

fn in_use(address: SocketAddr) -> bool {
    matches!(bind_one(address), Err(error) if error.kind() == io::ErrorKind::AddrInUse)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Where clients are accepted.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixSocket),
}

/// Binds everything on which clients are accepted. The Unix sockets come last: their names have
/// the port of the first TCP address, unless it is given.
pub fn bind_all(proxy: &Proxy) -> anyhow::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    let mut first_port = None;
    for listen in &proxy.listen {
        if let Listen::Tcp(address) = Listen::parse(listen) {
            for listener in bind(address)? {
                first_port.get_or_insert(listener.local_addr()?.port());
                listeners.push(Listener::Tcp(listener));
            }
        }
    }
    let permissions = proxy
        .effective_unix_socket_permissions()
        .context("unix_socket_permissions is no octal number")?;
    for listen in &proxy.listen {
        if let Listen::Unix { directory, port } = Listen::parse(listen) {
            let port = port.or(first_port).unwrap_or(DEFAULT_PORT);
            let socket = UnixSocket::bind(directory, port, permissions)?;
            listeners.push(Listener::Unix(socket));
        }
    }
    Ok(listeners)
}

impl Listener {
    /// Where it listens, for people.
    pub fn address(&self) -> io::Result<String> {
        Ok(match self {
            Self::Tcp(listener) => listener.local_addr()?.to_string(),
            Self::Unix(socket) => socket.path().display().to_string(),
        })
    }

    async fn accept(&self) -> io::Result<Accepted> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Accepted::Tcp(stream.into_std()?, address)
            }
            Self::Unix(socket) => {
                let (stream, _) = socket.listener().accept().await?;
                Accepted::Unix(stream.into_std()?)
            }
        })
    }
}

/// Accepts for ever. No failed accept ends it: it waits a little and goes on.
pub async fn accept(listener: Listener, shared: Arc<Shared>, workers: Arc<Workers>) {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("accepting clients again");
                }
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                if let Accepted::Tcp(stream, _) = &accepted {
                    tune(stream);
                }
                workers.hand_over(accepted);
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!("cannot accept clients: {error}; trying again");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// No delay, and a client whose host has vanished is found within a few minutes.
fn tune(stream: &std::net::TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    for result in [socket.set_tcp_nodelay(true), socket.set_tcp_keepalive(&keepalive)] {
        if let Err(error) = result {
            tracing::debug!("cannot tune a client's socket: {error}");
        }
    }
}
