//! What becomes of a server connection whose client has left: back to the pool when it can be
//! made clean within a deadline, closed on any doubt.

use std::sync::Arc;
use std::time::Duration;

use pgherd_pool::{Lease, Note, ServerError, send_cancel};
use pgherd_wire::owed::{Audience, Request};
use pgherd_wire::{TransactionStatus, frontend};
use tokio::io::AsyncWriteExt;

use crate::clients::Detach;
use crate::end::End;
use crate::session::Session;

/// How long a server connection may take to become clean.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long a cancelled query may take to end before it is cancelled again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How many queries of a pipeline are cancelled before a connection that cannot be saved is closed.
const MAX_CANCELS: usize = 8;

impl Session {
    /// Not cancel safe: dropped, the server connection is closed.
    pub(crate) async fn salvage(mut self, lease: Lease, end: &End) {
        // What the client asked to cancel is over; no cancel of its own may hit what follows.
        let detached = loop {
            match self.entry().try_detach() {
                Detach::InFlight => self.entry().cancels_done().await,
                other => break other,
            }
        };
        if detached == Detach::Lost || !end.spares_server() {
            return;
        }
        if !self.is_salvageable(&lease) {
            // Closed, its queries would run on; nobody else gets this connection.
            for _ in 0..lease.owed.len().min(MAX_CANCELS) {
                let cancel = send_cancel(&lease.info.cancel);
                let _ = tokio::time::timeout(FIRST_PAUSE, cancel).await;
            }
            return;
        }
        let unread = self.from_server.buffer.unscanned().to_vec();
        let skip = self.from_server.passing + self.from_server.dropping;
        // What is still to be answered may leave state of which the drain keeps no books.
        let needs_reset = self.is_session_mode() || lease.tainted || !lease.owed.is_empty();
        let clean = clean(lease, unread, skip, needs_reset);
        match tokio::time::timeout(DEADLINE, clean).await {
            Ok(Ok(lease)) => lease.release(),
            Ok(Err(error)) => tracing::debug!("server connection not salvaged: {error}"),
            Err(_) => tracing::info!("server connection not salvaged within {DEADLINE:?}"),
        }
    }

    /// Whether the server has got whole messages only, so that the next one can follow.
    fn is_salvageable(&mut self, lease: &Lease) -> bool {
        !lease.owed.is_in_doubt()
            // Nothing takes a loaded library out again.
            && !self.state.is_beyond_reset()
            && self.from_client.outbox.is_empty()
            && self.from_client.passing == 0
    }
}

pub(crate) async fn clean(
    mut lease: Lease,
    unread: Vec<u8>,
    skip: usize,
    needs_reset: bool,
) -> Result<Lease, ServerError> {
    let mut out = Vec::new();
    let mut running = false;
    if lease.owed.is_copy_in() {
        // In the extended protocol the server waits for a Sync after the copy has failed.
        let extended = lease.owed.head_request() == Some(Request::Execute);
        frontend::put_copy_fail(&mut out, b"the client has gone");
        lease.owed.push_copy_end();
        if extended {
            frontend::put_empty(&mut out, frontend::tag::SYNC);
            lease.owed.push(Request::Sync, Audience::Proxy, Note::default());
        }
    } else {
        running = !lease.owed.is_empty();
        if lease.owed.needs_sync() {
            // A Sync alone would commit what the client has not finished: an error goes first.
            if !lease.owed.is_skipping() {
                let nothing = b"pgherd: the client has gone";
                let target = frontend::Target::Statement;
                frontend::put_target(&mut out, frontend::tag::DESCRIBE, target, nothing);
                lease.owed.push(Request::DescribeStatement, Audience::Proxy, Note::default());
            }
            frontend::put_empty(&mut out, frontend::tag::SYNC);
            lease.owed.push(Request::Sync, Audience::Proxy, Note::default());
        }
    }
    lease.socket.write_all(&out).await.map_err(ServerError::Io)?;
    let drained = if running {
        cancel_and_drain(&mut lease, unread, skip).await
    } else {
        lease.drain_after(unread, skip).await
    };
    match drained {
        // The cancelled query, the failed copy.
        Ok(_) | Err(ServerError::Reported(_)) => {}
        Err(error) => return Err(error),
    }
    if lease.owed.status() != TransactionStatus::Idle {
        lease.execute("ROLLBACK").await?;
    }
    if needs_reset {
        lease.reset().await?;
    }
    Ok(lease)
}

/// Cancels what runs, again and again: a cancel that arrives before the query has begun is lost.
/// Each one has done its work, or none, before anything else is sent.
pub(crate) async fn cancel_and_drain(
    lease: &mut Lease,
    unread: Vec<u8>,
    skip: usize,
) -> Result<TransactionStatus, ServerError> {
    let target = Arc::clone(&lease.info.cancel);
    let drain = lease.drain_after(unread, skip);
    tokio::pin!(drain);
    let mut pause = FIRST_PAUSE;
    loop {
        // Without the cancel the query ends by itself, or the deadline closes the connection.
        if let Err(error) = send_cancel(&target).await {
            tracing::debug!("cannot cancel the query of a client that has gone: {error}");
        }
        if let Ok(result) = tokio::time::timeout(pause, drain.as_mut()).await {
            return result;
        }
        pause *= 2;
    }
}
