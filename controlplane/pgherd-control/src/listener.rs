//! The port: taken at the start, opened when there is something to serve.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket, lookup_host};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// A port that is taken and not open yet: callers are refused instead of left waiting.
pub struct Reserved {
    socket: TcpSocket,
    /// With the real port where 0 was asked for.
    pub address: SocketAddr,
}

impl Reserved {
    /// Takes the port, so that one in use is noticed before anything else is done.
    pub async fn bind(listen: &str) -> anyhow::Result<Self> {
        let address = lookup_host(listen)
            .await
            .with_context(|| format!("--listen {listen}: not an address and port"))?
            .next()
            .with_context(|| format!("--listen {listen}: the name has no address"))?;
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
            .context("opening a socket")?;
        // A port in TIME_WAIT after a restart is free; one that is listened on is not.
        socket.set_reuseaddr(true).context("setting SO_REUSEADDR")?;
        socket.bind(address).with_context(|| format!("cannot listen on {address}"))?;
        let address = socket.local_addr().context("asking for the bound address")?;
        Ok(Self { socket, address })
    }

    /// Opens the port.
    pub fn open(self) -> anyhow::Result<TcpListener> {
        self.socket.listen(BACKLOG).with_context(|| format!("cannot listen on {}", self.address))
    }
}

#[cfg(test)]
mod tests {
    use super::Reserved;

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let taken = Reserved::bind("127.0.0.1:0").await.unwrap();
        let address = taken.address;
        let _open = taken.open().unwrap();
        let error = Reserved::bind(&address.to_string()).await.err().unwrap();
        assert_eq!(
            format!("{error:#}"),
            format!("cannot listen on {address}: Address already in use (os error 98)")
        );
    }
}
