//! Cancel requests: to the right server connection, to the proxy that gave the key, or to nobody.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use pgherd_pool::{forward_cancel, send_cancel};

use crate::clients::{CancelInFlight, ClientRegistry};
use crate::shared::Shared;

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
    let sent = join_all(cancel.targets.iter().map(|target| send_cancel(target))).await;
    let mut lost = false;
    for error in sent.into_iter().filter_map(Result::err) {
        tracing::warn!("cannot send a cancel request to an instance: {error}");
        lost |= error.kind() != std::io::ErrorKind::ConnectionRefused;
    }
    if !lost {
        cancel.settle();
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
    let encrypt = shared.tls.load().is_some();
    if let Err(error) = forward_cancel(&peer.address, pid, key, encrypt).await {
        tracing::warn!(peer = peer.address, "cannot forward a cancel request: {error}");
    }
}
