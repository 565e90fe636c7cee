//! Cancel requests: to the right server connection, to the proxy that gave the key, or to nobody.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pgherd_pool::send_cancel;
use pgherd_wire::startup;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::clients::{CancelInFlight, ClientRegistry};
use crate::shared::Shared;

/// How long forwarding to another proxy may take.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves a cancel request. There is no reply: the connection is closed when this returns, after
/// the cancel has arrived where it goes.
pub(crate) async fn serve(shared: &Arc<Shared>, pid: i32, key: &[u8]) {
    let owner = ClientRegistry::owner(pid);
    // The own clients first: one that logged in before the control plane gave this proxy its
    // number has another one in its key.
    let Some(cancel) = shared.clients.begin_cancel(pid, key) else {
        if owner == shared.proxy_number() {
            shared.cancels_ignored.fetch_add(1, Ordering::Relaxed);
        } else {
            forward(shared, owner, pid, key).await;
        }
        return;
    };
    shared.cancels_sent.fetch_add(1, Ordering::Relaxed);
    deliver(cancel).await;
}

/// Sends a cancel to where it goes. Not cancel safe: a cancel that is dropped half way may still
/// arrive, so that its target serves nobody else.
pub(crate) async fn deliver(cancel: CancelInFlight) {
    match send_cancel(&cancel.target).await {
        Ok(()) => cancel.settle(),
        Err(error) => {
            tracing::warn!("cannot send a cancel request to an instance: {error}");
            if error.kind() == std::io::ErrorKind::ConnectionRefused {
                cancel.settle();
            }
        }
    }
}

/// Behind a load balancer a cancel may reach any proxy of the fleet. It is passed on once: a
/// request for a number that no peer has is dropped, and a peer serves only its own number.
async fn forward(shared: &Arc<Shared>, owner: u16, pid: i32, key: &[u8]) {
    let peers = shared.peers.load_full();
    let Some(peer) = peers.iter().find(|peer| peer.number == owner) else {
        shared.cancels_ignored.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let send = async {
        let mut stream = TcpStream::connect(&peer.address).await?;
        let mut packet = Vec::with_capacity(32);
        startup::put_cancel(&mut packet, pid, key);
        stream.write_all(&packet).await?;
        // The peer closes once it has dealt with the request; so does this proxy then.
        let mut rest = [0; 16];
        while stream.read(&mut rest).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    match tokio::time::timeout(FORWARD_TIMEOUT, send).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(peer = peer.address, "cannot forward a cancel request: {error}");
        }
        Err(_) => tracing::warn!(peer = peer.address, "forwarding a cancel request timed out"),
    }
}
