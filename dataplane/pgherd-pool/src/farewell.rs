//! Closing a server connection, whose place comes free once Postgres has closed it, too.
//!
//! A backend lives on for a moment after its client has gone, and for as long as its query takes
//! when that is not cancelled. Whoever took its place at once would exceed the limits that Postgres
//! sees.

use std::sync::Arc;
use std::time::Duration;

use pgherd_wire::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::cancel::send_cancel;
use crate::pool::Pool;
use crate::server::ServerConn;

/// How long the place is kept for a server that does not close.
const PATIENCE: Duration = Duration::from_secs(2);

impl Pool {
    /// Closes a connection that was taken out of the pool.
    pub(crate) fn part_with(self: &Arc<Self>, conn: Box<ServerConn>, worker: usize) {
        self.state.lock().parting += 1;
        let parting = Parting { pool: Arc::clone(self), worker };
        // Without a runtime the process ends; the kernel closes the socket.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            // A server that hangs keeps the place no longer than that.
            let _ = tokio::time::timeout(PATIENCE, conn.say_goodbye()).await;
            drop(parting);
        });
    }
}

impl ServerConn {
    /// Tells the server goodbye and waits until it has closed the connection. What still runs is
    /// cancelled. Cancel safe: dropped, it closes the connection.
    async fn say_goodbye(mut self: Box<Self>) {
        if self.owed.is_free() {
            let goodbye = [frontend::tag::TERMINATE, 0, 0, 0, 4];
            // A server that is gone hears nothing.
            let _ = self.socket.write_all(&goodbye).await;
        } else if !self.owed.is_empty()
            && let Err(error) = send_cancel(&self.info.cancel).await
        {
            tracing::debug!("cannot cancel the query of a connection that is closed: {error}");
        }
        let _ = self.socket.shutdown().await;
        let mut rest = [0; 4096];
        while matches!(self.socket.read(&mut rest).await, Ok(n) if n > 0) {}
    }
}

/// The place of a connection that is being closed. When dropped, it is free for another one.
struct Parting {
    pool: Arc<Pool>,
    worker: usize,
}

impl Drop for Parting {
    fn drop(&mut self) {
        {
            let mut state = self.pool.state.lock();
            state.parting -= 1;
            state.total -= 1;
        }
        self.pool.grow(self.worker);
    }
}
