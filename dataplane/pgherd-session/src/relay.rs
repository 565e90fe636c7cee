//! The relay: bytes between a client and the server connection that it holds.
//!
//! One poll moves what can be moved in both directions and never waits half way: all progress is
//! in the session, so dropping the future loses nothing. A side is read only when what was read
//! before has been written to the other, which bounds memory and carries back-pressure through.

mod bind;
mod copy_end;
mod description;
mod from_client;
mod from_server;
mod own_settings;
mod parameters;
mod parse;
mod prepare;
mod sql_statements;

use std::task::{Context, Poll};
use std::time::Instant;

use pgherd_pool::WorkerStats;
use pgherd_wire::frame::Header;

use crate::end::End;
use crate::session::{Session, Stop, is_ready_to_send};
use crate::shared::Phase;

pub(crate) use prepare::RESULT_TYPE_CHANGED;

/// Requests in flight on one server connection after which no more are taken from the client.
const MAX_PIPELINE: usize = 64 * 1024;
/// Bytes that the proxy adds of its own before it waits for the socket.
const MAX_OWN_BYTES: usize = 256 * 1024;

impl Session {
    /// Relays until the server connection is free or the session ends.
    pub(crate) fn poll_relay(&mut self, cx: &mut Context<'_>) -> Poll<Stop> {
        self.entry().register(cx.waker());
        if let Err(end) = self.obey_timeouts() {
            return Poll::Ready(Stop::End(end));
        }
        loop {
            // The client first: the request for which the server connection was taken is here.
            let moved = match self.poll_from_client(cx) {
                Ok(moved) => moved,
                Err(end) => return Poll::Ready(Stop::End(end)),
            };
            if self.timing.is_stopped() && self.lease.as_ref().is_some_and(|it| !it.owed.is_empty())
            {
                self.timing.begin(Instant::now());
            }
            match self.poll_from_server(cx) {
                Ok(_) if self.is_releasable() => return Poll::Ready(Stop::Release),
                Ok(_) if self.is_to_settle() => return Poll::Ready(Stop::Settle),
                Ok(false) if !moved => break,
                Ok(_) => {}
                Err(end) => return Poll::Ready(Stop::End(end)),
            }
        }
        // An idle session that keeps its server connection keeps no buffers; what an outbox has
        // not written yet lies in one.
        for direction in [&mut self.from_client, &mut self.from_server] {
            direction.park(&self.worker.buffers);
        }
        if self.worker.shared.phase() != Phase::Running && self.is_idle() {
            return Poll::Ready(Stop::End(End::ShuttingDown));
        }
        self.note_relaying();
        Poll::Pending
    }

    /// Whether the server connection can serve somebody else now.
    fn is_releasable(&self) -> bool {
        !self.state.is_bound() && !self.is_session_mode() && self.is_idle()
    }

    /// Whether the server is to be asked now what state there is on the connection.
    fn is_to_settle(&self) -> bool {
        self.state.is_questionable() && !self.is_session_mode() && self.is_idle()
    }

    /// Whether nothing is under way in either direction and no transaction is open.
    fn is_idle(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.owed.is_free())
            && (self.routing.leaves || !self.has_request())
            && self.from_client.outbox.is_empty()
            && self.from_client.is_between_messages()
            && self.from_server.buffer.is_empty()
            && self.from_server.is_between_messages()
    }

    /// Whether a message of the client waits in the buffer that needs this server connection.
    fn has_request(&self) -> bool {
        let unscanned = self.from_client.buffer.unscanned();
        match Header::peek(unscanned) {
            Ok(Some(header)) => is_ready_to_send(unscanned, header),
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// Whether all of the next message is there.
    fn has_whole_request(&self) -> bool {
        let unscanned = self.from_client.buffer.unscanned();
        matches!(Header::peek(unscanned), Ok(Some(header)) if unscanned.len() >= header.total_len())
    }

    /// Moves replies to the client. `true` when something was moved.
    fn poll_from_server(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        // What comes before the answer to a request that may be sent again is held back.
        if self.routing.kept.is_none() {
            match self.poll_flush_client(cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Err(End::ClientIo(error)),
                Poll::Pending => return Ok(false),
            }
        }
        let Some(lease) = &mut self.lease else { return Ok(false) };
        if self.from_server.buffer.is_empty() && lease.socket.poll_read_ready(cx).is_pending() {
            return Ok(false);
        }
        let buffers = &self.worker.buffers;
        match self.from_server.buffer.poll_fill(cx, &mut lease.socket, buffers) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(0)) => return Err(End::ServerClosed),
            Poll::Ready(Ok(_)) => {
                if let Some(watch) = &self.watch {
                    watch.server_spoke();
                }
            }
            Poll::Ready(Err(error)) => return Err(End::ServerIo(error)),
        }
        self.scan_server()?;
        if self.routing.kept.is_some() {
            return Ok(true);
        }
        if self.is_releasable() || self.is_to_settle() {
            // The caller releases first and writes to the client afterwards.
            return Ok(true);
        }
        match self.poll_flush_client(cx) {
            Poll::Ready(Err(error)) => Err(End::ClientIo(error)),
            Poll::Ready(Ok(_)) | Poll::Pending => {
                self.from_server.compact();
                Ok(true)
            }
        }
    }

    /// Moves requests to the server. `true` when something was moved.
    fn poll_from_client(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if !self.poll_flush_server(cx)? || self.waits_for_cancel() {
            return Ok(false);
        }
        let moved = self.scan_client()?;
        if !self.poll_flush_server(cx)? {
            return Ok(moved);
        }
        if self.last_word.is_some() {
            // While it reads copy data the server answers nothing more.
            let waits = self
                .lease
                .as_ref()
                .is_some_and(|lease| !lease.owed.is_empty() && !lease.owed.is_copy_in());
            if !waits && let Some(end) = self.last_word.take() {
                return Err(end);
            }
            return Ok(moved);
        }
        // A pipeline at its limit, a message that waits for the outcome of others, or replies that
        // the client does not take stop the reading once the buffer is full: until then it tells
        // whether the client is still there.
        let waits = self.is_full() || self.blocked || self.has_whole_request();
        if waits && !self.from_client.buffer.has_room() {
            return Ok(moved);
        }
        if self.from_client.buffer.is_empty() && self.client.poll_read_ready(cx).is_pending() {
            return Ok(moved);
        }
        self.unkeep_what_is_long();
        let buffers = &self.worker.buffers;
        match self.from_client.buffer.poll_fill(cx, &mut self.client, buffers) {
            Poll::Pending => return Ok(moved),
            Poll::Ready(Ok(0)) => return Err(End::ClientGone),
            Poll::Ready(Ok(n)) => WorkerStats::add(&self.stats().bytes_received, n as u64),
            Poll::Ready(Err(error)) => return Err(End::ClientIo(error)),
        }
        self.scan_client()?;
        self.poll_flush_server(cx)?;
        Ok(true)
    }

    /// Writes to the server what is due. `true` when all is written.
    fn poll_flush_server(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let Some(lease) = &mut self.lease else { return Ok(false) };
        if !self.from_client.outbox.is_empty() {
            let buffer = &self.from_client.buffer;
            match self.from_client.outbox.poll_flush(cx, &mut lease.socket, buffer) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(_)) => {}
                // The server may have said why before it closed: read that first.
                Poll::Ready(Err(_)) => self.from_client.outbox.clear(),
            }
        }
        self.from_client.compact();
        Ok(true)
    }

    fn is_full(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.owed.len() >= MAX_PIPELINE)
            || self.from_server.outbox.own_len() >= MAX_OWN_BYTES
    }
}
